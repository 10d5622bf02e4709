import { expect, test } from 'vitest';
import { formatDurationMs, parseDurationMs } from './duration.ts';

test.each([
  ['500ms', 500],
  ['10s', 10_000],
  ['1.5h', 5_400_000],
  ['1h30m', 5_400_000],
  ['2d', 172_800_000],
  ['0s', 0],
])('reads %s as %d ms', (written, ms) => {
  expect(parseDurationMs(written)).toBe(ms);
});

test.each(['', '10', 's', '-1s', '10 s', '1h 30', '1e3s', 'ten'])('refuses "%s" and says what to write', (written) => {
  expect(() => parseDurationMs(written)).toThrow(/is no duration: write a number and a unit/);
});

test.each([
  [0, '0ms'],
  [850, '850ms'],
  [1_234, '1.2s'],
  [12_400, '12s'],
  [60_000, '1m'],
  [184_000, '3m 4s'],
  [7_500_000, '2h 5m'],
  [190_800_000, '2d 5h'],
])('writes %d ms as %s', (ms, written) => {
  expect(formatDurationMs(ms)).toBe(written);
});
