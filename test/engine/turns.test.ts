import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EngineRig, startEngineRig } from './rig.ts';

let rig: EngineRig;
beforeAll(async () => {
  rig = await startEngineRig();
});
afterAll(() => rig.stop());

test('workers take turns at tasks that come one by one', async () => {
  const type = await rig.type();
  const workers = [await rig.workerOf(type), await rig.workerOf(type), await rig.workerOf(type)];
  for (let count = 1; count <= 9; count += 1) {
    await rig.submit(type);
    await expect.poll(() => workers.reduce((sum, { assigned }) => sum + assigned.length, 0)).toBe(count);
  }
  expect(workers.map(({ assigned }) => assigned.length)).toEqual([3, 3, 3]);
});
