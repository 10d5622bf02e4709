import { describe, expect, test } from 'vitest';
import { DstcError } from './errors.ts';
import { compileSchema } from './json-schema.ts';
import { limits } from './limits.ts';

function compileError(text: string): DstcError {
  try {
    compileSchema('input_schema', text);
  } catch (error) {
    if (error instanceof DstcError) return error;
    throw error;
  }
  throw new Error('the schema was taken');
}

describe('a JSON Schema', () => {
  test('accepts what matches and says of the rest where it does not', () => {
    const check = compileSchema(
      'input_schema',
      JSON.stringify({
        type: 'object',
        required: ['to'],
        additionalProperties: false,
        properties: { to: { type: 'string', format: 'email' }, tags: { type: 'array', items: { type: 'string' } } },
      }),
    );
    expect(check({ to: 'a@example.org', tags: ['x'] })).toEqual([]);
    expect(check({})).toEqual([{ field: '/', description: "must have required property 'to'" }]);
    expect(check({ to: 'a@example.org', tags: ['x', 3] })).toEqual([
      { field: '/tags/1', description: 'must be string' },
    ]);
    expect(check({ to: 'nobody' })).toEqual([{ field: '/to', description: 'must match format "email"' }]);
    expect(check({ to: 'a@example.org', cc: '' })[0]?.description).toContain('cc');
  });

  test.each([
    ['no JSON', '{'],
    ['not an object', '"text"'],
    ['a type that is none', '{"type":"strnig"}'],
    ['a reference to elsewhere', '{"$ref":"https://example.org/schema.json"}'],
    ['a pattern that is none', '{"pattern":"("}'],
    ['asynchronous', '{"$async":true,"type":"string"}'],
    ['too long', JSON.stringify({ description: 'x'.repeat(limits.schemaCharactersMax) })],
  ])('is refused when it is %s', (_, text) => {
    const error = compileError(text);
    expect([error.reason, error.violations[0]?.field]).toEqual(['FIELD_INVALID', 'input_schema']);
  });

  test('keeps its ids to itself', () => {
    const first = compileSchema('input_schema', '{"$id":"https://example.org/s","type":"string"}');
    const second = compileSchema('input_schema', '{"$id":"https://example.org/s","type":"number"}');
    expect([first('x'), first(1).length, second(1), second('x').length]).toEqual([[], 1, [], 1]);
  });

  test('refuses what is nested too deeply for a schema that refers to itself', () => {
    const check = compileSchema('output_schema', '{"type":"array","items":{"$ref":"#"}}');
    expect(check(JSON.parse('['.repeat(20_000) + ']'.repeat(20_000)))).toEqual([
      { field: '/', description: 'is nested too deeply to be checked' },
    ]);
  });

  test('tells of one mistake, not of a million', () => {
    const check = compileSchema('input_schema', '{"items":{"type":"string"}}');
    expect(check(Array.from({ length: 1_000 }, () => 1))).toHaveLength(1);
  });
});
