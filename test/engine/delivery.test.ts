import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { leaseOf, outcomeOf } from '../setup/raw-worker.ts';
import { acceptance, type EngineRig, startEngineRig, success } from './rig.ts';

let rig: EngineRig;
beforeAll(async () => {
  rig = await startEngineRig();
});
afterAll(() => rig.stop());

test('takes an assignment back that was not accepted, without spending an attempt', async () => {
  const type = await rig.type();
  const id = await rig.submit(type);
  const worker = await rig.workerOf(type, 1);
  const [first] = await worker.assignments(1);
  const sentMs = performance.now();
  const [second] = await worker.assignments(1, 8_000);
  expect(performance.now() - sentMs).toBeGreaterThan(2_900);
  expect([first?.lease?.attempt, second?.lease?.attempt]).toEqual([1, 1]);
  expect(second?.lease?.leaseId).not.toBe(first?.lease?.leaseId);
  expect(await rig.kinds(id)).toEqual(['SUBMITTED', 'LEASED', 'RELEASED', 'LEASED']);

  worker.send(success(leaseOf(first)));
  expect((await worker.settlements([leaseOf(first)])).map(outcomeOf)).toEqual(['LEASE_LOST']);
  worker.send(success(leaseOf(second)));
  expect((await worker.settlements([leaseOf(second)])).map(outcomeOf)).toEqual(['RECORDED']);
}, 15_000);

test('leaves an assignment alone that was accepted', async () => {
  const type = await rig.type();
  const [kept, lost] = [await rig.submit(type), await rig.submit(type)];
  const worker = await rig.workerOf(type, 2);
  const assignments = await worker.assignments(2);
  const accepted = assignments.find((task) => task.lease?.taskId === kept);
  worker.send(acceptance(leaseOf(accepted)));
  // The other one comes back when both were overdue.
  const [again] = await worker.assignments(1, 8_000);
  expect(again?.lease?.taskId).toBe(lost);
  expect(await rig.kinds(kept)).toEqual(['SUBMITTED', 'LEASED', 'STARTED']);
}, 15_000);

test('gives what a lost stream had not accepted to another worker at once', async () => {
  const type = await rig.type();
  const id = await rig.submit(type);
  const first = await rig.workerOf(type);
  await first.assignments(1);
  const second = await rig.workerOf(type);
  first.cut();
  const [again] = await second.assignments(1, 2_000);
  expect(again?.lease).toMatchObject({ taskId: id, attempt: 1 });
});

test('takes an assignment back after the time of its own task or type, others after theirs', async () => {
  const quick = await rig.type({ deadlines: { delivery: durationFromMs(200) } });
  const patient = await rig.type({ deadlines: { delivery: durationFromMs(3_600_000) } });
  const [byType, byTask, kept] = [
    await rig.submit(quick),
    await rig.submit(patient, { deadlines: { delivery: durationFromMs(200) } }),
    await rig.submit(patient),
  ];
  const worker = await rig.worker({
    taskTypes: [quick, patient].map((taskType) => ({ taskType, slots: 3 })),
    slots: 3,
  });
  const first = await worker.assignments(3);
  expect(new Set(first.map(({ lease }) => lease?.taskId))).toEqual(new Set([byType, byTask, kept]));
  // Taken back and given again, twice each, long before the usual time.
  const again = await worker.assignments(4, 10_000);
  expect(new Set(again.map(({ lease }) => lease?.taskId))).toEqual(new Set([byType, byTask]));
  expect(again.map(({ lease }) => lease?.attempt)).toEqual([1, 1, 1, 1]);
  expect(await rig.kinds(kept)).toEqual(['SUBMITTED', 'LEASED']);
}, 15_000);
