import { expect, test } from 'vitest';
import { DstcError, type ErrorCode, type ErrorReason } from '../errors.ts';
import { Addresses } from './addresses.ts';
import { afterFailure } from './reconnect.ts';

const latest = () => 1;

function error(code: ErrorCode, reason: ErrorReason, retryDelayMs?: number): DstcError {
  return new DstcError({ code, reason, message: reason, retryDelayMs });
}

test.each([
  ['a lost connection', error('UNAVAILABLE', 'UNREACHABLE'), 0, 200],
  ['the fifth lost connection', error('UNAVAILABLE', 'UNREACHABLE'), 4, 3_200],
  ['the hundredth lost connection', error('UNAVAILABLE', 'UNREACHABLE'), 99, 5_000],
  ['a node that says when it is back', error('UNAVAILABLE', 'NODE_DRAINING', 1_000), 0, 1_200],
  ['a slow reader', error('RESOURCE_EXHAUSTED', 'SLOW_CONSUMER'), 0, 200],
  ['a lost session', error('NOT_FOUND', 'SESSION_NOT_FOUND'), 0, 200],
  ['a token that was refused', error('UNAUTHENTICATED', 'TOKEN_INVALID'), 0, 200],
  ['a token that was refused again', error('UNAUTHENTICATED', 'TOKEN_INVALID'), 1, 10_000],
  ['a missing permission', error('PERMISSION_DENIED', 'PERMISSION_MISSING'), 0, 10_000],
  ['a wrong Hello', error('INVALID_ARGUMENT', 'FIELD_INVALID'), 0, 10_000],
  ['an identity provider that is away', new Error('no token'), 0, 10_000],
])('comes back after %s', (_, failure, failures, waitMsMax) => {
  expect(afterFailure({ error: failure, failures }, latest).waitMs).toBe(waitMsMax);
});

test('gives the session up only when the coordinator does not know it', () => {
  const lost = (failure: unknown) => afterFailure({ error: failure, failures: 0 }).sessionLost;
  expect(lost(error('NOT_FOUND', 'SESSION_NOT_FOUND'))).toBe(true);
  expect(lost(error('UNAVAILABLE', 'NODE_DRAINING'))).toBe(false);
  expect(lost(error('UNAUTHENTICATED', 'TOKEN_INVALID'))).toBe(false);
});

test('goes around the addresses, and first where it is sent', () => {
  const addresses = new Addresses(['a:1', 'b:1'], () => 0);
  expect([addresses.next(), addresses.next(), addresses.next()]).toEqual(['a:1', 'b:1', 'a:1']);
  expect(addresses.suggest(['c:1', 'a:1'], 'a:1')).toBe(true);
  expect([addresses.next(), addresses.next()]).toEqual(['c:1', 'b:1']);
});

test('knows when there is nowhere else to go', () => {
  expect(new Addresses(['a:1']).suggest([], 'a:1')).toBe(false);
  expect(new Addresses(['a:1']).suggest(['a:1'], 'a:1')).toBe(false);
  expect(new Addresses(['a:1', 'b:1']).suggest([], 'a:1')).toBe(true);
});
