import { expect, test } from 'vitest';
import { limits } from '../../domain/limits.ts';
import { createUnsettled } from './unsettled.ts';

test('is full with too many reports, until some of them are settled', async () => {
  const unsettled = createUnsettled();
  const last = Promise.withResolvers<void>();
  for (let n = 0; n < limits.unsettledReportsMax; n += 1) unsettled.add(new Promise(() => undefined), 0);
  expect(unsettled.isFull()).toBe(false);
  unsettled.add(last.promise, 0);
  expect(unsettled.isFull()).toBe(true);
  last.resolve();
  await unsettled.change();
  expect(unsettled.isFull()).toBe(false);
});

test('is full with too many bytes, however few the reports', async () => {
  const unsettled = createUnsettled();
  const report = Promise.withResolvers<void>();
  unsettled.add(report.promise, limits.unsettledBytesMax + 1);
  expect(unsettled.isFull()).toBe(true);
  report.resolve();
  await unsettled.all();
  expect(unsettled.isFull()).toBe(false);
});
