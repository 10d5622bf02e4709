import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isLargerThan } from './json-size.ts';
import type { JsonValue } from './json-value.ts';

test('counts the bytes of any JSON to the last one', () => {
  const text = fc.string({ unit: fc.constantFrom('a', '"', '\\', '\n', '\u0001', '\u007f', 'é', '€', '😀') });
  const value = fc.oneof(fc.jsonValue(), fc.array(text), fc.dictionary(text, text)) as fc.Arbitrary<JsonValue>;
  fc.assert(
    fc.property(value, (json) => {
      const bytes = Buffer.byteLength(JSON.stringify(json));
      expect([isLargerThan(bytes, json), isLargerThan(bytes - 1, json)]).toEqual([false, true]);
    }),
  );
});

test('needs not write what is too large, nor read all of it', () => {
  const long = 'x'.repeat(1_000_000);
  const longer = Array(1_000).fill(long);
  expect(isLargerThan(2_000_000, Array(1_000_000).fill(longer))).toBe(true);
});
