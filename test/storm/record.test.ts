import { expect, test } from 'vitest';
import { createRecord, starvedMs } from './record.ts';

/** Two processes: one was held up for 400 of 500 ms, the other one for 300 of 300. */
function record() {
  const known = createRecord();
  known.stalls.push({ name: 'node-1', atMs: 1_500, ms: 400, spanMs: 500 });
  known.stalls.push({ name: 'worker-1', atMs: 1_700, ms: 300, spanMs: 300 });
  return known;
}

test.each([
  { what: 'all of it', names: ['node-1'], from: 0, to: 5_000, ms: 400 },
  { what: 'both', names: ['node-1', 'worker-1'], from: 0, to: 5_000, ms: 700 },
  { what: 'nothing of others', names: ['node-2'], from: 0, to: 5_000, ms: 0 },
  { what: 'nothing of another time', names: ['node-1', 'worker-1'], from: 1_700, to: 5_000, ms: 0 },
  { what: 'no more than the part within the time', names: ['node-1'], from: 1_400, to: 5_000, ms: 100 },
  { what: 'no more than the time', names: ['node-1', 'worker-1'], from: 1_300, to: 1_600, ms: 300 },
])('a process is excused by $what that it was starved for', ({ names, from, to, ms }) => {
  expect(starvedMs(record(), names, from, to)).toBe(ms);
});
