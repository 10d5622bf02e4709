import { expect, it } from 'vitest';
import { commonPatterns, isTypePattern, matchesPattern } from './type-pattern.ts';

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

it.each([
  [['*'], ['a.*', 'b'], ['a.*', 'b']],
  [['a.*'], ['a.b.*', 'a.c', 'a', 'b.*'], ['a.b.*', 'a.c']],
  [['a.*', 'b'], ['a.*', 'c'], ['a.*']],
  [['a.b'], ['a.b.*'], []],
  [['*'], [], []],
])('the patterns %j and %j have %j in common', (some, others, common) => {
  expect(commonPatterns(some, others)).toEqual(common);
  expect(commonPatterns(others, some)).toEqual(common);
});
