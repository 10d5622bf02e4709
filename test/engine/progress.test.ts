import type { LeaseRef } from '@dstc/contract/dstc/v1/worker_pb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { leaseOf, type RawWorker } from '../setup/raw-worker.ts';
import { acceptance, type EngineRig, failure, startEngineRig } from './rig.ts';

let rig: EngineRig;
beforeAll(async () => {
  rig = await startEngineRig();
});
afterAll(() => rig.stop());

function progress(lease: LeaseRef, percent: number, checkpoint?: string): Parameters<RawWorker['send']>[0] {
  const kept = checkpoint === undefined ? {} : { checkpoint: Buffer.from(checkpoint) };
  return { case: 'progress', value: { items: [{ lease, progress: { percent, message: `${percent} %`, ...kept } }] } };
}

async function running() {
  const type = await rig.type();
  const id = await rig.submit(type);
  const worker = await rig.workerOf(type, 1);
  const lease = leaseOf((await worker.assignments(1))[0]);
  worker.send(acceptance(lease));
  return { id, worker, lease };
}

test('stores the last progress', async () => {
  const { id, worker, lease } = await running();
  for (const percent of [10, 20, 30]) worker.send(progress(lease, percent));
  await expect
    .poll(async () => (await rig.tasks.getTask({ id })).task?.progress, { timeout: 3_000 })
    .toMatchObject({ percent: 30, message: '30 %' });
});

test('hands the last checkpoint to the next attempt, which begins with no progress', async () => {
  const { id, worker, lease } = await running();
  worker.send(progress(lease, 10, 'page 1'));
  worker.send(progress(lease, 50, 'page 5'));
  worker.send(progress(lease, 60));
  worker.send(failure(lease));
  const [again] = await worker.assignments(1);
  expect(Buffer.from(again?.checkpoint ?? []).toString()).toBe('page 5');
  expect((await rig.tasks.getTask({ id })).task?.progress?.percent).toBe(0);
});

test('keeps a checkpoint that comes right before the end of each of several attempts', async () => {
  const { worker, lease } = await running();
  let current = lease;
  for (const page of ['page 1', 'page 2', 'page 3']) {
    worker.send(progress(current, 1, page));
    worker.send({ case: 'released', value: { leases: [current], reason: 'shutdown' } });
    const [again] = await worker.assignments(1);
    expect(Buffer.from(again?.checkpoint ?? []).toString()).toBe(page);
    current = leaseOf(again);
    worker.send(acceptance(current));
  }
});

test('ignores progress on a lease that is not held', async () => {
  const { id, worker, lease } = await running();
  const stranger = await rig.workerOf(await rig.type());
  const before = await rig.stored(id);
  stranger.send(progress(lease, 99, 'forged'));
  worker.send(progress({ ...lease, attempt: 7 }, 98, 'stale'));
  worker.send(progress(lease, 5));
  await expect.poll(async () => (await rig.stored(id)).row.progressPercent, { timeout: 3_000 }).toBe(5);
  const { row } = await rig.stored(id);
  expect(row.checkpoint).toEqual(before.row.checkpoint);
});
