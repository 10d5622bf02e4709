import { expect, test } from 'vitest';
import { DstcError } from '../domain/errors.ts';
import { createSubscribers } from './subscribers.ts';

test('turns away whoever there is no room for, until somebody leaves', () => {
  const subscribers = createSubscribers(2);
  const first = subscribers.enter();
  subscribers.enter();
  expect(() => subscribers.enter()).toThrow(DstcError);
  expect(() => subscribers.enter()).toThrow(expect.objectContaining({ reason: 'OVERLOADED', retryDelayMs: 1_000 }));
  first.leave();
  subscribers.enter();
  expect(subscribers.count()).toBe(2);
});
