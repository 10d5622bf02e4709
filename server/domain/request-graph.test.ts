import fc from 'fast-check';
import { expect, test } from 'vitest';
import { inOrder } from './request-graph.ts';

const seed = process.env.TEST_SEED === undefined ? {} : { seed: Number(process.env.TEST_SEED) };

test.each([
  ['nothing', [], []],
  ['nodes without references as they are', [[], [], []], [0, 1, 2]],
  ['a chain from its end', [[1], [2], []], [2, 1, 0]],
  ['a diamond', [[1, 2], [3], [3], []], [3, 1, 2, 0]],
  ['a node after one that it names twice', [[1, 1], []], [1, 0]],
  ['references to nodes that are not there as if they were none', [[7], [-1]], [0, 1]],
])('puts %s into order', (_, references, order) => {
  expect(inOrder(references)).toEqual(order);
});

test.each([
  ['itself', [[0], []], [1]],
  ['each other', [[1], [0], []], [2]],
  ['each other in a ring, with what comes after it', [[1], [2], [0], [2], []], [4]],
])('leaves out those that refer to %s', (_, references, order) => {
  expect(inOrder(references)).toEqual(order);
});

test('leaves out nothing that is free of cycles, and puts nothing before what it refers to', () => {
  const acyclic = fc
    .array(fc.array(fc.nat({ max: 30 }), { maxLength: 5 }), { maxLength: 30 })
    .map((nodes) => nodes.map((targets, index) => targets.filter((target) => target < index)));
  fc.assert(
    fc.property(acyclic, fc.array(fc.nat()), (references, keys) => {
      // The same graph under other numbers.
      const shuffled = [...references.keys()].sort((a, b) => (keys[a] ?? 0) - (keys[b] ?? 0) || a - b);
      const place = new Map(shuffled.map((node, index) => [node, index]));
      const renamed = shuffled.map((node) => (references[node] ?? []).map((target) => place.get(target) ?? -1));
      const order = inOrder(renamed);
      expect(order.toSorted((a, b) => a - b)).toEqual([...renamed.keys()]);
      for (const [at, node] of order.entries()) {
        for (const target of renamed[node] ?? []) expect(order.indexOf(target)).toBeLessThan(at);
      }
    }),
    seed,
  );
});
