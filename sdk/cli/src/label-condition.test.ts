import { expect, test } from 'vitest';
import { parseLabelCondition } from './label-condition.ts';

test.each([
  ['team=a', ['team', 'a']],
  ['team=', ['team', '']],
  ['app.example/at=x=y, z', ['app.example/at', 'x=y, z']],
  ['team!=a', ['team', { notIn: ['a'] }]],
  ['team in (a, b)', ['team', { in: ['a', 'b'] }]],
  ['team not in (a,b)', ['team', { notIn: ['a', 'b'] }]],
  ['team', ['team', { exists: true }]],
  ['!team', ['team', { exists: false }]],
])('reads the condition %s', (written, condition) => {
  expect(parseLabelCondition(written)).toEqual(condition);
});

test.each(['', '=a', '!', 'team in ()', 'a b', '(a)'])('does not take %j for a condition', (written) => {
  expect(() => parseLabelCondition(written)).toThrow('is no condition');
});
