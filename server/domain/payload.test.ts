import { describe, expect, test } from 'vitest';
import { DstcError } from './errors.ts';
import { compileSchema } from './json-schema.ts';
import { checkPayloadSize, isJson, payloadViolations } from './payload.ts';

const payload = (text: string | Uint8Array, contentType = 'application/json') => ({
  data: typeof text === 'string' ? Buffer.from(text) : text,
  contentType,
});

test.each([
  ['application/json', true],
  ['application/json; charset=utf-8', true],
  ['application/json;charset=utf-8', true],
  ['application/problem+json', true],
  ['application/vnd.example+json; version=1', true],
  ['application/jsonl', false],
  ['application/octet-stream', false],
  ['text/plain', false],
  ['text/json', false],
])('%s is JSON: %s', (contentType, expected) => {
  expect(isJson(contentType)).toBe(expected);
});

describe('a payload', () => {
  test('may have as many bytes as allowed and not one more', () => {
    checkPayloadSize('input', payload('12345'), 5);
    const tooLarge = () => checkPayloadSize('input', payload('123456'), 5);
    expect(tooLarge).toThrow(DstcError);
    expect(tooLarge).toThrow(expect.objectContaining({ metadata: { limit_bytes: '5', actual_bytes: '6' } }));
  });

  const check = compileSchema('input_schema', '{"type":"object"}');

  test.each([
    ['JSON that matches', payload('{"a":1}'), undefined],
    ['JSON that does not match', payload('[]'), 'must be object'],
    ['broken JSON', payload('{'), 'is not JSON in UTF-8'],
    ['nothing', payload(''), 'is not JSON in UTF-8'],
    ['broken UTF-8', payload(Buffer.from([0x22, 0xff, 0x22])), 'is not JSON in UTF-8'],
    ['something else than JSON', payload('{}', 'text/plain'), 'must be JSON, not text/plain'],
  ])('is held against a schema: %s', (_, value, expected) => {
    expect(payloadViolations(value, check)[0]?.description).toBe(expected);
  });
});
