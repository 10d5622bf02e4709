import { expect, test } from 'vitest';
import { limitKeyOf } from './limit-key.ts';

const json = (value: unknown) => ({ data: Buffer.from(JSON.stringify(value)), contentType: 'application/json' });
const nothing = { data: Buffer.of(), contentType: 'application/json' };
const pointedAt = (pointer: string, value: unknown) =>
  limitKeyOf({ kind: 'input', pointer }, { labels: {}, input: json(value) });

test('is empty for a type without a key', () => {
  expect(limitKeyOf(null, { labels: { a: 'b' }, input: json({}) })).toBe('');
});

test('is the value of a label, or empty without it', () => {
  const key = (labels: Record<string, string>) =>
    limitKeyOf({ kind: 'label', label: 'tenant' }, { labels, input: nothing });
  expect(key({ tenant: 'acme' })).toBe('acme');
  expect(key({ other: 'acme' })).toBe('');
  expect(limitKeyOf({ kind: 'label', label: 'constructor' }, { labels: {}, input: nothing })).toBe('');
});

test.each<[string, unknown, string]>([
  ['/a', { a: 'x' }, 'x'],
  ['/a/b', { a: { b: 7 } }, '7'],
  ['/a/1', { a: [false, true] }, 'true'],
  ['/a~1b/~0', { 'a/b': { '~': 'x' } }, 'x'],
  ['/~01', { '~1': 'x' }, 'x'],
  ['/', { '': 'x' }, 'x'],
  ['/a', {}, ''],
  ['/a', { a: null }, ''],
  ['/a/b', { a: 'text' }, ''],
  ['/a/length', { a: [1] }, ''],
  ['/a/-', { a: [1] }, ''],
  ['/a/01', { a: [1, 2] }, ''],
  ['/toString', {}, ''],
])('finds at %j in %j the key %j', (pointer, value, key) => {
  expect(pointedAt(pointer, value)).toBe(key);
});

test('is a hash of what is no short text, the same for the same value', () => {
  const hashed = /^sha256:[\w-]{43}$/;
  expect(pointedAt('/a', { a: 'x'.repeat(256) })).toBe('x'.repeat(256));
  for (const odd of ['x'.repeat(257), 'a\0b', '\ud800', [1], {}]) expect(pointedAt('/a', { a: odd })).toMatch(hashed);
  expect(pointedAt('/a', { a: { b: 1, c: 2 } })).toBe(pointedAt('/a', { a: { c: 2, b: 1 } }));
  expect(pointedAt('/a', { a: { b: 1 } })).not.toBe(pointedAt('/a', { a: { b: 2 } }));
});

test('is empty for inputs that are not JSON', () => {
  const source = { kind: 'input', pointer: '/a' } as const;
  expect(limitKeyOf(source, { labels: {}, input: { data: Buffer.from('{"a":1}'), contentType: 'text/plain' } })).toBe(
    '',
  );
  expect(limitKeyOf(source, { labels: {}, input: { data: Buffer.from('{'), contentType: 'application/json' } })).toBe(
    '',
  );
});
