import { expect, it } from 'vitest';
import { isTypePattern, matchesPattern } from './type-pattern.ts';

it.each([
  ['*', 'email.send', true],
  ['email.*', 'email.send', true],
  ['email.*', 'email.bulk.send', true],
  ['email.*', 'email', false],
  ['email.*', 'emails.send', false],
  ['email.send', 'email.send', true],
  ['email.send', 'email.send.now', false],
  ['email.send', 'Email.send', false],
])('the pattern %s covers %s: %s', (pattern, taskType, covers) => {
  expect(matchesPattern(pattern, taskType)).toBe(covers);
});

it.each(['', 'email*', '*.send', 'email.**', 'a b', '.a', 'a..b', 'email.*.send'])(
  'does not take %s for a pattern',
  (text) => {
    expect(isTypePattern(text)).toBe(false);
  },
);
