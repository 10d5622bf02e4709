import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { refusalOf } from '../doors/rig.ts';
import { leaseOf, outcomeOf } from '../setup/raw-worker.ts';
import { acceptance, type EngineRig, failure, release, startEngineRig, success } from './rig.ts';

let rig: EngineRig;
beforeAll(async () => {
  rig = await startEngineRig();
});
afterAll(() => rig.stop());

/** A running task whose worker was asked to stop. */
async function cancelled(graceMs = 60_000) {
  const type = await rig.type();
  const id = await rig.submit(type);
  const worker = await rig.workerOf(type);
  const lease = leaseOf((await worker.assignments(1))[0]);
  worker.send(acceptance(lease));
  await expect.poll(() => rig.kinds(id)).toContain('STARTED');
  const { task } = await rig.tasks.cancelTask({ id, reason: 'not needed', grace: durationFromMs(graceMs) });
  const cancels = await worker.next('cancels', 900);
  return { id, worker, lease, task, cancels };
}

test('ends a waiting task at once, and asking again changes nothing', async () => {
  const id = await rig.submit(await rig.type());
  await rig.tasks.cancelTask({ id, reason: 'not needed' });
  const before = await rig.stored(id);
  expect(before.row.state).toBe('CANCELLED');
  expect(before.events.at(-1)).toMatchObject({ kind: 'cancelled', reason: 'not needed' });
  await rig.tasks.cancelTask({ id, reason: 'really' });
  expect(await rig.stored(id)).toEqual(before);
});

test('refuses to cancel a task that has ended in another way', async () => {
  const type = await rig.type();
  const id = await rig.submit(type);
  const worker = await rig.workerOf(type);
  worker.send(success(leaseOf((await worker.assignments(1))[0])));
  await rig.end(id);
  const before = await rig.stored(id);
  expect(await refusalOf(rig.tasks.cancelTask({ id }))).toMatchObject({
    code: 'FailedPrecondition',
    reason: 'STATE_CONFLICT',
  });
  expect(await rig.stored(id)).toEqual(before);
});

test('tells the worker of a running task at once, with the reason and the grace', async () => {
  const { lease, task, cancels } = await cancelled(60_000);
  expect(task?.cancelRequested).toBe(true);
  expect(cancels.items).toMatchObject([
    { lease: { taskId: lease.taskId, attempt: 1, leaseId: lease.leaseId }, reason: 'not needed' },
  ]);
  expect(Number(cancels.items[0]?.grace?.seconds)).toBeGreaterThan(50);
});

test('tells a worker of another node within two seconds', async () => {
  const node = await rig.coordinator.startNode();
  const type = await rig.type();
  const id = await rig.submit(type);
  const worker = await rig.workerOf(type, 1, { address: node.grpcAddress });
  const lease = leaseOf((await worker.assignments(1))[0]);
  worker.send(acceptance(lease));
  await rig.tasks.cancelTask({ id });
  const { items } = await worker.next('cancels', 2_000);
  expect(items[0]?.lease?.leaseId).toBe(lease.leaseId);
  await node.stop();
});

describe('after a cancel was asked for', () => {
  test('the acknowledgement ends the task', async () => {
    const { id, worker, lease } = await cancelled();
    worker.send({ case: 'cancelAcknowledged', value: { leases: [lease] } });
    expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
    expect(await rig.kinds(id)).toEqual(['SUBMITTED', 'LEASED', 'STARTED', 'CANCEL_REQUESTED', 'CANCELLED']);
  });

  test('a success wins', async () => {
    const { id, worker, lease } = await cancelled();
    worker.send(success(lease));
    expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
    expect(await rig.state(id)).toBe('SUCCEEDED');
  });

  test.each([
    ['a failure', failure],
    ['a release', release],
  ])('%s ends the task: nobody wants another attempt', async (_, report) => {
    const { id, worker, lease } = await cancelled();
    worker.send(report(lease));
    await worker.settlements([lease]);
    expect(await rig.state(id)).toBe('CANCELLED');
  });

  test('the lease is revoked when the grace is over', async () => {
    const { id, worker, lease } = await cancelled(100);
    expect(await rig.end(id)).toBe('CANCELLED');
    const before = await rig.stored(id);
    worker.send(success(lease));
    expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['LEASE_LOST']);
    expect(await rig.stored(id)).toEqual(before);
  });
});

test('an acknowledgement that nobody asked for is refused, and the lease stays', async () => {
  const type = await rig.type();
  const [id, next] = [await rig.submit(type), await rig.submit(type)];
  const worker = await rig.workerOf(type, 1);
  const lease = leaseOf((await worker.assignments(1))[0]);
  worker.send(acceptance(lease));
  worker.send({ case: 'cancelAcknowledged', value: { leases: [lease] } });
  expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['REFUSED STATE_CONFLICT']);
  await rig.tasks.cancelTask({ id });
  expect((await worker.next('cancels', 900)).items[0]?.lease?.taskId).toBe(id);
  expect(worker.assigned).toHaveLength(1);
  worker.send(success(lease));
  expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
  expect((await worker.assignments(1))[0]?.lease?.taskId).toBe(next);
});
