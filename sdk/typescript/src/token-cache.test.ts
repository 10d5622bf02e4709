import { expect, test } from 'vitest';
import { cachedCredentials, type TokenSet } from './token-cache.ts';

/** An identity provider whose answers the test gives, and a clock that the test sets. */
function provider() {
  const waiting: { resolve: (tokens: TokenSet) => void; reject: (error: Error) => void }[] = [];
  const clock = { ms: 0 };
  let calls = 0;
  const credentials = cachedCredentials(
    () => {
      calls += 1;
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    },
    { now: () => clock.ms },
  );
  return {
    credentials,
    clock,
    calls: () => calls,
    give: (accessToken: string, lifetimeMs: number) =>
      waiting.shift()?.resolve({ accessToken, expiresAt: new Date(clock.ms + lifetimeMs) }),
    fail: () => waiting.shift()?.reject(new Error('the provider is away')),
  };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('fetches one token for callers that come at the same time', async () => {
  const { credentials, calls, give } = provider();
  const both = Promise.all([credentials.token(), credentials.token()]);
  give('a', 60_000);
  expect(await both).toEqual(['a', 'a']);
  expect(calls()).toBe(1);
});

test('renews in the background after two thirds of the life', async () => {
  const { credentials, clock, calls, give } = provider();
  const first = credentials.token();
  give('a', 60_000);
  await first;
  clock.ms = 39_000;
  expect(await credentials.token()).toBe('a');
  expect(calls()).toBe(1);
  clock.ms = 41_000;
  expect(await credentials.token()).toBe('a');
  expect(calls()).toBe(2);
  give('b', 60_000);
  await turn();
  expect(await credentials.token()).toBe('b');
});

test('keeps a good token while the provider is away, and does not press it', async () => {
  const { credentials, clock, calls, give, fail } = provider();
  const first = credentials.token();
  give('a', 60_000);
  await first;
  clock.ms = 45_000;
  await credentials.token();
  fail();
  await turn();
  expect(await credentials.token()).toBe('a');
  expect(calls()).toBe(2);
  clock.ms = 50_001;
  expect(await credentials.token()).toBe('a');
  expect(calls()).toBe(3);
});

test('does not hand out a token that is about to end', async () => {
  const { credentials, clock, give } = provider();
  const first = credentials.token();
  give('a', 60_000);
  await first;
  clock.ms = 55_000;
  const next = credentials.token();
  give('b', 60_000);
  expect(await next).toBe('b');
});

test('gets another token for one that was refused, once for all who were refused', async () => {
  const { credentials, calls, give } = provider();
  const first = credentials.token();
  give('a', 60_000);
  await first;
  const both = Promise.all([credentials.token({ refused: 'a' }), credentials.token({ refused: 'a' })]);
  give('b', 60_000);
  expect(await both).toEqual(['b', 'b']);
  expect(await credentials.token({ refused: 'a' })).toBe('b');
  expect(calls()).toBe(2);
});

test('fails when there is no token and asks again the next time', async () => {
  const { credentials, give, fail } = provider();
  const first = credentials.token();
  fail();
  await expect(first).rejects.toThrow('the provider is away');
  const second = credentials.token();
  give('a', 60_000);
  expect(await second).toBe('a');
});
