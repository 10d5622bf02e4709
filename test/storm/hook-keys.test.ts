import { expect, test } from 'vitest';
import { newSecret, secretText, signatureHeaders } from '../../server/events/webhooks/signature.ts';
import { createHookKeys, type HookKeys } from './hook-keys.ts';

const [first, second, third] = [newSecret(), newSecret(), newSecret()];
const startMs = 1_760_000_000_000;
const overlapMs = 40_000;
const message = { id: 'e:1', body: '{"id":"e:1"}' };

interface Request {
  readonly at: number;
  readonly secrets: readonly Uint8Array[];
  readonly seenAt?: number;
}

type Rotation = 'none' | 'answered' | 'lost';

/** What is wrong with a request; times are milliseconds from some moment. A rotation lasts from 10,000 to 10,100. */
function wrongWith({ at, secrets, seenAt = at }: Request, rotation: Rotation): string {
  const keys = createHookKeys(secretText(first), overlapMs);
  if (rotation !== 'none') keys.asked(startMs + 10_000);
  if (rotation === 'answered') keys.answered(secretText(second), startMs + 10_100);
  const headers = signatureHeaders(secrets, { ...message, sentMs: startMs + at });
  const { wrong, isForeseen } = keys.judge(headers, message.body, startMs + seenAt);
  return isForeseen ? `foreseen: ${wrong}` : wrong;
}

test.each([
  { what: 'its secret', at: 0, secrets: [first], rotation: 'none', wrong: '' },
  { what: 'a foreign secret', at: 0, secrets: [second], rotation: 'none', wrong: 'lacks 1 of 1 signatures' },
  { what: 'more than its secret', at: 0, secrets: [first, second], rotation: 'none', wrong: 'has 2 signatures' },
  {
    what: 'a date of long ago',
    at: 0,
    seenAt: 301_000,
    secrets: [first],
    rotation: 'none',
    wrong: 'has the timestamp 1760000000 at 1760000301',
  },
  {
    what: 'a date to come',
    at: 301_000,
    seenAt: 0,
    secrets: [first],
    rotation: 'none',
    wrong: 'has the timestamp 1760000301 at 1760000000',
  },
  { what: 'the old secret before a rotation', at: 8_999, secrets: [first], rotation: 'answered', wrong: '' },
  { what: 'the old secret during a rotation', at: 10_000, secrets: [first], rotation: 'answered', wrong: '' },
  { what: 'both secrets after it', at: 11_000, secrets: [second, first], rotation: 'answered', wrong: '' },
  {
    what: 'the new secret alone although the old one is good',
    at: 11_000,
    secrets: [second],
    rotation: 'answered',
    wrong: 'lacks 1 of 2 signatures',
  },
  {
    what: 'the old secret alone although there is a new one',
    at: 11_000,
    secrets: [first],
    rotation: 'answered',
    wrong: 'lacks 1 of 2 signatures',
  },
  { what: 'the new secret alone after the overlap', at: 51_000, secrets: [second], rotation: 'answered', wrong: '' },
  {
    what: 'the old secret, too, after the overlap',
    at: 51_000,
    secrets: [second, first],
    rotation: 'answered',
    wrong: 'has 2 signatures',
  },
  {
    what: 'an unknown secret while nobody was told',
    at: 20_000,
    secrets: [third],
    rotation: 'lost',
    wrong: 'foreseen: is signed with a secret that nobody was told',
  },
] as const)('a request with $what is judged "$wrong"', ({ rotation, wrong, ...request }) => {
  expect(wrongWith(request, rotation)).toBe(wrong);
});

test('a body that was changed does not fit', () => {
  const keys = createHookKeys(secretText(first), overlapMs);
  const headers = signatureHeaders([first], { ...message, sentMs: startMs });
  expect(keys.judge(headers, `${message.body} `, startMs).wrong).not.toBe('');
  expect(keys.judge({ ...headers, 'webhook-id': 'e:2' }, message.body, startMs).wrong).not.toBe('');
});

/** What is wrong with a request that is seen as it is sent. */
function judgeBy(keys: HookKeys) {
  return (at: number, secrets: readonly Uint8Array[]): string => {
    const headers = signatureHeaders(secrets, { ...message, sentMs: startMs + at });
    return keys.judge(headers, message.body, startMs + at).wrong;
  };
}

test('a rotation that had to be asked for twice leaves the secret of before, and one that nobody was told of', () => {
  const keys = createHookKeys(secretText(first), overlapMs);
  keys.asked(startMs);
  keys.asked(startMs + 20_000);
  keys.answered(secretText(third), startMs + 20_010);
  const wrongAt = judgeBy(keys);
  expect(wrongAt(22_000, [third, second, first])).toBe('');
  expect(wrongAt(22_000, [third, second])).toBe('lacks 1 of 2 signatures');
  expect(wrongAt(22_000, [third, second, first, newSecret()])).toBe('has 4 signatures');
  // The first asking may have been the one that was carried out.
  expect(wrongAt(45_000, [third, second])).toBe('');
  expect(wrongAt(61_000, [third, second])).toBe('has 2 signatures');
});

test('secrets of before keep their own overlap when there is another rotation', () => {
  const keys = createHookKeys(secretText(first), overlapMs);
  keys.asked(startMs);
  keys.answered(secretText(second), startMs);
  keys.asked(startMs + 20_000);
  keys.answered(secretText(third), startMs + 20_000);
  const wrongAt = judgeBy(keys);
  expect(wrongAt(30_000, [third, second, first])).toBe('');
  expect(wrongAt(30_000, [third, second])).toBe('lacks 1 of 3 signatures');
  expect(wrongAt(50_000, [third, second])).toBe('');
  expect(wrongAt(61_000, [third])).toBe('');
});
