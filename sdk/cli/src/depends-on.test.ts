import { expect, test } from 'vitest';
import { parseDependsOn } from './depends-on.ts';

test.each([
  ['a-b', { on: 'a-b', onFailure: 'cancel' }],
  ['a-b:cancel', { on: 'a-b', onFailure: 'cancel' }],
  ['a-b:continue', { on: 'a-b', onFailure: 'continue' }],
  ['a-b:block', { on: 'a-b', onFailure: 'block' }],
])('reads %s', (written, expected) => {
  expect(parseDependsOn(written)).toEqual(expected);
});

test.each(['', ':block', 'a:', 'a:wait', 'a:block:b'])('refuses "%s" and says how it is written', (written) => {
  expect(() => parseDependsOn(written)).toThrow(/id:cancel, id:continue, id:block/);
});
