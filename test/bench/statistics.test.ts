import { expect, test } from 'vitest';
import { quantile, spreadOf } from './statistics.ts';

test('finds the middle and the ends of several runs', () => {
  expect(spreadOf([30, 10, 20])).toEqual({ median: 20, min: 10, max: 30 });
  expect(spreadOf([40, 10, 20, 30])).toEqual({ median: 25, min: 10, max: 40 });
});

test('finds quantiles of an unsorted list', () => {
  const values = Array.from({ length: 100 }, (_, index) => 100 - index);
  expect(quantile(values, 0.5)).toBe(51);
  expect(quantile(values, 0.99)).toBe(100);
});

test('answers with NaN when nothing was measured', () => {
  expect(quantile([], 0.5)).toBeNaN();
  expect(spreadOf([]).median).toBeNaN();
});
