import { create } from '@bufbuild/protobuf';
import { PayloadSchema } from '@dstc/contract/dstc/v1/payload_pb';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodePayload, encodePayload, isContentType } from './payload.ts';

test('brings every JSON value back as it was', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(decodePayload(encodePayload(value))).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});

test('brings bytes back with their media type', () => {
  const photo = { data: Uint8Array.of(0xff, 0xd8, 0), contentType: 'image/jpeg' };
  expect(decodePayload(encodePayload(photo))).toEqual(photo);
});

test('writes an absent value as null', () => {
  expect(decodePayload(encodePayload(undefined))).toBeNull();
});

test('refuses what JSON cannot say', () => {
  expect(() => encodePayload(() => 1)).toThrow('a function cannot be written as JSON');
});

test.each(['', 'application/json', 'Application/JSON; charset=utf-8', 'application/cloudevents+json'])(
  'reads %j as JSON',
  (contentType) => {
    const payload = create(PayloadSchema, { value: { case: 'data', value: Buffer.from('[1]') }, contentType });
    expect(decodePayload(payload)).toEqual([1]);
  },
);

test('reads no payload and an empty one as undefined', () => {
  expect(decodePayload(undefined)).toBeUndefined();
  expect(decodePayload(create(PayloadSchema))).toBeUndefined();
  expect(decodePayload(create(PayloadSchema, { value: { case: 'data', value: new Uint8Array() } }))).toBeUndefined();
});

test.each([
  ['', true],
  ['text/plain', true],
  ['text/plain; charset=utf-8', true],
  ['application/vnd.x+json', true],
  ['text', false],
  ['/plain', false],
  ['text/plain\n', false],
  ['text/plain; charset', false],
  [`text/${'x'.repeat(122)}`, true],
  [`text/${'x'.repeat(123)}`, false],
])('knows whether the contract takes the content type %j: %s', (contentType, taken) => {
  expect(isContentType(contentType)).toBe(taken);
});
