import picocolors from 'picocolors';
import { expect, test } from 'vitest';
import { oneLine, paint, shown } from './shown.ts';

const words =
  'esc \u001b]0;pwn\u0007 \u001b[31mred \rover\n\t2026 \u007f fake \u202e\u2069\u200f\u061c\u2028\u009b31m é日🙂';
const visible =
  'esc \\u001b]0;pwn\\u0007 \\u001b[31mred \\u000dover\n\t2026 \\u007f fake \\u202e\\u2069\\u200f\\u061c\\u2028\\u009b31m é日🙂';

test('shows what would steer a terminal, and leaves lines, tabs and letters of all languages', () => {
  expect(shown(words)).toBe(visible);
});

test('leaves JSON the same JSON', () => {
  const json = JSON.stringify({ [words]: words });
  expect(JSON.parse(shown(json))).toEqual({ [words]: words });
});

test('keeps colours of our own around the words of others', () => {
  const { red } = picocolors.createColors(true);
  expect(shown([paint(red, '\u001b[0m'), ' ', ['\u001b[0m']])).toBe('\u001b[31m\\u001b[0m\u001b[39m \\u001b[0m');
});

test('puts the words of others in one line', () => {
  expect(oneLine('a \r\n\n b\tc')).toBe('a b c');
});
