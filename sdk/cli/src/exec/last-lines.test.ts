import { expect, test } from 'vitest';
import { keepLastLines } from './last-lines.ts';

test('returns the lines that a piece completes', () => {
  const lines = keepLastLines(3);
  expect(lines.push('reading')).toEqual([]);
  expect(lines.push(' input\r\nwriting\n\nlast')).toEqual(['reading input', 'writing']);
});

test('keeps the last lines and the unfinished one', () => {
  const lines = keepLastLines(2);
  lines.push('one\ntwo\nthree\nfour');
  expect(lines.text()).toBe('three\nfour');
});

test('stays bounded when no newline ever comes', () => {
  const lines = keepLastLines(2);
  for (let i = 0; i < 100; i++) lines.push('x'.repeat(1_000));
  expect(lines.text().length).toBe(1_000);
});
