import { expect, test } from 'vitest';
import { afterFailures } from './webhook-circuit.ts';

const well = { failures: 0, openings: 0, isOpen: false, failingMs: 0 };
const once = { count: 1, hasProbe: false, retryAfterMs: 0 };

test('the fifth failure in a row opens the circuit', () => {
  expect(afterFailures({ ...well, failures: 3 }, once)).toMatchObject({ failures: 4, openings: 0, openMs: null });
  expect(afterFailures({ ...well, failures: 4 }, once)).toMatchObject({ failures: 5, openings: 1, openMs: 30_000 });
  expect(afterFailures(well, { ...once, count: 8 })).toMatchObject({ failures: 8, openings: 1, openMs: 30_000 });
});

test('each probe that fails doubles the time, up to half an hour', () => {
  const probe = { ...once, hasProbe: true };
  const openMs = [1, 2, 5, 6, 500].map(
    (openings) => afterFailures({ ...well, openings, failures: 5, isOpen: true }, probe).openMs,
  );
  expect(openMs).toEqual([60_000, 120_000, 960_000, 1_800_000, 1_800_000]);
});

test('requests that were under way when the circuit opened do not prolong it', () => {
  const open = { failures: 5, openings: 1, isOpen: true, failingMs: 0 };
  expect(afterFailures(open, { ...once, count: 3 })).toMatchObject({ failures: 8, openings: 1, openMs: null });
});

test('the circuit stays open as long as the endpoint has asked for', () => {
  expect(afterFailures({ ...well, failures: 4 }, { ...once, retryAfterMs: 600_000 }).openMs).toBe(600_000);
});

test('an endpoint that has failed for three days is hopeless', () => {
  const failing = { failures: 4, openings: 9, isOpen: true, failingMs: 3 * 24 * 3_600_000 };
  expect(afterFailures(failing, { ...once, hasProbe: true }).isHopeless).toBe(true);
  expect(afterFailures({ ...failing, failingMs: failing.failingMs - 1 }, { ...once, hasProbe: true }).isHopeless).toBe(
    false,
  );
});
