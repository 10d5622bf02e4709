import { expect, test } from 'vitest';
import { wantsColors } from './screen.ts';

test.each([
  [true, {}, true],
  [false, {}, false],
  [undefined, {}, false],
  [true, { NO_COLOR: '1' }, false],
  [true, { NO_COLOR: '' }, true],
  [true, { TERM: 'dumb' }, false],
  [false, { FORCE_COLOR: '1' }, true],
  [true, { NO_COLOR: '1', FORCE_COLOR: '1' }, false],
])('on a terminal %s with %o colours are %s', (isTerminal, env, colours) => {
  expect(wantsColors(isTerminal, env)).toBe(colours);
});
