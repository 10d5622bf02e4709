import { randomUUID } from 'node:crypto';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { LeaseRef } from '@dstc/contract/dstc/v1/worker_pb';
import type { WorkRequestSchema } from '@dstc/contract/dstc/v1/worker_service_pb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { leaseOf, outcomeOf } from '../setup/raw-worker.ts';
import { acceptance, type EngineRig, failure, release, startEngineRig, success } from './rig.ts';

let rig: EngineRig;
beforeAll(async () => {
  rig = await startEngineRig();
});
afterAll(() => rig.stop());

type Message = NonNullable<MessageInitShape<typeof WorkRequestSchema>['message']>;

const reports: Record<string, (lease: LeaseRef) => Message> = {
  succeeded: success,
  failed: failure,
  released: release,
  cancelAcknowledged: (lease) => ({ case: 'cancelAcknowledged', value: { leases: [lease] } }),
};

describe.each(Object.entries(reports))('a report of the kind %s', (_, report) => {
  test('is refused, and changes nothing, unless task, attempt, lease and session are the current ones', async () => {
    const type = await rig.type();
    const id = await rig.submit(type);
    const other = await rig.submit(await rig.type());
    const holder = await rig.workerOf(type);
    const stranger = await rig.workerOf(await rig.type());
    const [assignment] = await holder.assignments(1);
    const lease = leaseOf(assignment);
    holder.send(acceptance(lease));
    await expect.poll(() => rig.kinds(id)).toContain('STARTED');
    const before = [await rig.stored(id), await rig.stored(other)];

    const stale = [
      { ...lease, attempt: 2 },
      { ...lease, leaseId: randomUUID() },
      { ...lease, taskId: other },
    ];
    for (const wrong of stale) holder.send(report(wrong));
    for (const settlement of await holder.settlements(stale)) expect(outcomeOf(settlement)).toBe('LEASE_LOST');
    stranger.send(report(lease));
    expect((await stranger.settlements([lease])).map(outcomeOf)).toEqual(['LEASE_LOST']);
    expect([await rig.stored(id), await rig.stored(other)]).toEqual(before);
  });

  test('on an unknown task is refused', async () => {
    const type = await rig.type();
    const worker = await rig.workerOf(type);
    const lease = { taskId: randomUUID(), attempt: 1, leaseId: randomUUID() } as LeaseRef;
    worker.send(report(lease));
    expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['REFUSED TASK_NOT_FOUND']);
  });
});

test.each(['succeeded', 'failed', 'released'])('a second %s of one lease is already recorded', async (kind) => {
  const report = reports[kind] ?? success;
  const type = await rig.type();
  const id = await rig.submit(type);
  const worker = await rig.workerOf(type);
  const [assignment] = await worker.assignments(1);
  const lease = leaseOf(assignment);
  worker.send({ case: 'draining', value: {} });
  worker.send(report(lease));
  expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
  const before = await rig.stored(id);
  worker.send(report(lease));
  expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['ALREADY_RECORDED']);
  expect(await rig.stored(id)).toEqual(before);
});

test('a lease id that a stranger has heard of neither settles nor spoils the report of its holder', async () => {
  const type = await rig.type();
  const holder = await rig.workerOf(type, 100);
  const stranger = await rig.workerOf(await rig.type());
  const ids = await Promise.all(Array.from({ length: 40 }, () => rig.submit(type)));
  const leases = (await holder.assignments(40)).map(leaseOf);
  // Both at once, so that their reports meet in one statement; some before the accept is written.
  leases.forEach((lease, index) => {
    const report = [success, failure, release][index % 3] ?? success;
    stranger.send(report(lease));
    holder.send(acceptance(lease));
    holder.send(report(lease));
    stranger.send(report(lease));
    holder.send(report({ ...lease, attempt: 9 }));
  });
  const twice = leases.flatMap((lease) => [lease, lease]);
  expect(new Set((await stranger.settlements(twice)).map(outcomeOf))).toEqual(new Set(['LEASE_LOST']));
  expect(new Set((await holder.settlements(leases)).map(outcomeOf))).toEqual(new Set(['RECORDED']));
  for (const id of ids) expect(await rig.kinds(id)).toContain('STARTED');
});

test('of two reports of one lease in one message, one is recorded', async () => {
  const type = await rig.type();
  const worker = await rig.workerOf(type);
  await rig.submit(type);
  const lease = leaseOf((await worker.assignments(1))[0]);
  worker.send({ case: 'draining', value: {} });
  worker.send(success(lease, lease));
  expect((await worker.settlements([lease, lease])).map(outcomeOf).sort()).toEqual(['ALREADY_RECORDED', 'RECORDED']);
});

test('a stale report frees no place', async () => {
  const type = await rig.type();
  const worker = await rig.workerOf(type, 1);
  const id = await rig.submit(type);
  const lease = leaseOf((await worker.assignments(1))[0]);
  worker.send(success({ ...lease, attempt: 2 }));
  expect((await worker.settlements([{ ...lease, attempt: 2 }])).map(outcomeOf)).toEqual(['LEASE_LOST']);
  // The node still speaks for the lease: it passes a cancel on.
  await rig.tasks.cancelTask({ id });
  expect((await worker.next('cancels')).items[0]?.lease?.leaseId).toBe(lease.leaseId);
});
