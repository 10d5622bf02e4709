import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { retryPolicyDefault } from './limits.ts';
import { retryDelayMs } from './retry.ts';

const seed = process.env.TEST_SEED === undefined ? {} : { seed: Number(process.env.TEST_SEED) };
const almostOne = 1 - Number.EPSILON;

const policies = fc.record({
  attemptsMax: fc.integer({ min: 1, max: 1_000 }),
  initialDelayMs: fc.integer({ min: 0, max: 86_400_000 }),
  multiplier: fc.double({ min: 0, max: 100, noNaN: true }),
  delayMsMax: fc.integer({ min: 0, max: 604_800_000 }),
  nonRetryableCodes: fc.constant([]),
});

describe('the wait before another attempt', () => {
  test('grows by the multiplier up to its bound', () => {
    const waits = [1, 2, 3, 4, 11, 12].map((attempt) => retryDelayMs(retryPolicyDefault, attempt, almostOne));
    expect(waits).toEqual([999, 1_999, 3_999, 7_999, 599_999, 599_999]);
  });

  test('is drawn evenly from zero to that bound', () => {
    const policy = { ...retryPolicyDefault, initialDelayMs: 1_000, multiplier: 1 };
    expect([0, 0.25, 0.5, 0.75].map((random) => retryDelayMs(policy, 3, random))).toEqual([0, 250, 500, 750]);
  });

  test('is none where the policy has none, however often the task has failed', () => {
    const policy = { ...retryPolicyDefault, initialDelayMs: 0, multiplier: 100 };
    expect(retryDelayMs(policy, 1_000, almostOne)).toBe(0);
  });

  test('is a whole number of milliseconds within the bound for every policy and attempt', () => {
    const random = fc.double({ min: 0, max: almostOne, noNaN: true });
    fc.assert(
      fc.property(policies, fc.integer({ min: 1, max: 1_000 }), random, (policy, attempt, drawn) => {
        const delay = retryDelayMs(policy, attempt, drawn);
        expect(Number.isSafeInteger(delay)).toBe(true);
        expect(delay).toBeGreaterThanOrEqual(0);
        expect(delay).toBeLessThanOrEqual(policy.delayMsMax);
      }),
      seed,
    );
  });
});
