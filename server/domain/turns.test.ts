import { expect, test } from 'vitest';
import { inTurns } from './turns.ts';

const tasks = (...names: readonly string[]) =>
  names.map((name) => ({ name, limitKey: name.slice(0, 1), turn: name.charCodeAt(0) }));
const order = (given: readonly string[], tasksMax = 99) => inTurns(tasks(...given), tasksMax).map(({ name }) => name);

test('lets keys take turns, each with its own order', () => {
  expect(order(['a1', 'a2', 'a3', 'b1', 'c1', 'c2'])).toEqual(['a1', 'b1', 'c1', 'a2', 'c2', 'a3']);
});

test('keeps the order of one key', () => {
  expect(order(['a2', 'a1', 'a3'])).toEqual(['a2', 'a1', 'a3']);
});

test('gives no more than there is room for', () => {
  expect(order(['a1', 'a2', 'b1'], 2)).toEqual(['a1', 'b1']);
  expect(order([])).toEqual([]);
});
