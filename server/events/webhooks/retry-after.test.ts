import { expect, test } from 'vitest';
import { retryAfterMs } from './retry-after.ts';

const nowMs = Date.parse('2026-03-01T12:00:00Z');
const clock = { nowMs, msMax: 3_600_000 };

test.each([
  ['120', 120_000],
  [' 0 ', 0],
  ['99999999999999', 3_600_000],
  ['Sun, 01 Mar 2026 12:05:00 GMT', 300_000],
  ['Sun, 01 Mar 2026 11:59:00 GMT', 0],
  ['Mon, 02 Mar 2026 12:00:00 GMT', 3_600_000],
  ['', undefined],
  ['soon', undefined],
  ['-5', undefined],
  ['1.5', undefined],
  ['1e3', undefined],
  ['2026-03-01T12:05:00Z', undefined],
  ['Sun, 99 Mar 2026 12:05:00 GMT', undefined],
])('%j is %s milliseconds', (text, expected) => {
  expect(retryAfterMs({ 'retry-after': text }, clock)).toBe(expected);
});

test('a number that is too long for a number is as much as any that is large', () => {
  expect(retryAfterMs({ 'retry-after': '9'.repeat(400) }, clock)).toBe(3_600_000);
});

test('a date is compared with the clock of the endpoint, if it tells', () => {
  const headers = { 'retry-after': 'Sun, 01 Mar 2026 12:05:00 GMT', date: 'Sun, 01 Mar 2026 12:04:00 GMT' };
  expect(retryAfterMs(headers, clock)).toBe(60_000);
});
