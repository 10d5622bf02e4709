import { expect, test } from 'vitest';
import { integerParser, parseLabel } from './flags.ts';

test.each([
  ['team=payments', ['team', 'payments']],
  ['empty=', ['empty', '']],
  ['query=a=b', ['query', 'a=b']],
])('reads the label %s', (written, label) => {
  expect(parseLabel(written)).toEqual(label);
});

test.each(['', 'team', '=payments'])('refuses "%s" as a label', (written) => {
  expect(() => parseLabel(written)).toThrow(/is no label: write key=value/);
});

test('reads whole numbers within their bounds', () => {
  const parse = integerParser(0, 9);
  expect([parse('0'), parse('9')]).toEqual([0, 9]);
  for (const written of ['10', '-1', '1.5', '', 'x', '1e0', ' 1']) expect(() => parse(written)).toThrow(/from 0 to 9/);
});
