import { expect, test } from 'vitest';
import { fullJitterMs } from './backoff.ts';

const latest = () => 1;

test.each([
  [0, 100],
  [1, 200],
  [3, 800],
  [6, 5_000],
  [5_000, 5_000],
])('waits after %i failures at most %i ms', (failures, waitMs) => {
  expect(fullJitterMs({ failures, baseMs: 100, capMs: 5_000 }, latest)).toBe(waitMs);
});

test('draws from zero on', () => {
  expect(fullJitterMs({ failures: 4, baseMs: 100, capMs: 5_000 }, () => 0)).toBe(0);
});
