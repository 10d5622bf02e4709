import { durationFromMs, durationMs } from '@bufbuild/protobuf/wkt';
import type { LeaseRef } from '@dstc/contract/dstc/v1/worker_pb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { leaseOf, outcomeOf } from '../setup/raw-worker.ts';
import { acceptance, type EngineRig, quickRetry, startEngineRig, success } from './rig.ts';

let rig: EngineRig;
beforeAll(async () => {
  rig = await startEngineRig();
});
afterAll(() => rig.stop());

const silenceMs = 3_000;
const deadlines = { heartbeat: durationFromMs(silenceMs) };
const sign = (lease: LeaseRef) => ({ items: [{ lease, progress: {} }] });

/** Brings the deadline of a task near, as if its worker had been silent for a while. */
async function letTimePass(id: string): Promise<void> {
  await rig.sql`UPDATE task SET heartbeat_deadline = now() WHERE id = ${id}`;
}

async function running(settings: Parameters<EngineRig['type']>[0] = {}) {
  const type = await rig.type({ deadlines, ...settings });
  const id = await rig.submit(type);
  const worker = await rig.workerOf(type, 1);
  const [assignment] = await worker.assignments(1);
  const lease = leaseOf(assignment);
  worker.send(acceptance(lease));
  return { type, id, worker, lease, assignment };
}

async function leftMs(id: string): Promise<number> {
  const [row] = await rig.sql<{ ms: number }[]>`
    SELECT extract(epoch FROM heartbeat_deadline - now())::float8 * 1000 AS ms FROM task WHERE id = ${id}`;
  return row?.ms ?? Number.NaN;
}

describe('the heartbeat deadline', () => {
  test('loses an attempt that reports nothing, tells its worker, and refuses its report', async () => {
    const { id, worker, lease, assignment } = await running({ retryPolicy: { ...quickRetry, attemptsMax: 2 } });
    expect(assignment?.heartbeatTimeout && durationMs(assignment.heartbeatTimeout)).toBe(silenceMs);
    const [again] = await worker.assignments(1, silenceMs + 5_000);
    expect(again?.lease).toMatchObject({ taskId: id, attempt: 2 });
    expect((await worker.next('cancels')).items[0]?.lease?.leaseId).toBe(lease.leaseId);
    worker.send(success(lease));
    expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['LEASE_LOST']);
    await letTimePass(id);
    expect(await rig.end(id)).toBe('FAILED');
    const { row, events } = await rig.stored(id);
    expect(row.error?.code).toBe('HEARTBEAT_DEADLINE_EXCEEDED');
    expect(row.crashes).toBe(0);
    expect(events.filter(({ kind }) => kind !== 'started').map(({ kind }) => kind)).toEqual([
      ...['submitted', 'leased', 'lease_lost', 'leased', 'failed'],
    ]);
  }, 20_000);

  test('begins anew with every progress, however little that says', async () => {
    const { id, worker, lease } = await running();
    await expect.poll(() => rig.kinds(id)).toContain('STARTED');
    for (const round of [1, 2]) {
      await rig.sql`UPDATE task SET heartbeat_deadline = now() + interval '1 hour' WHERE id = ${id}`;
      worker.send({ case: 'progress', value: sign(lease) });
      await expect.poll(() => leftMs(id), { timeout: 4_000 }).toBeLessThanOrEqual(silenceMs);
      expect(await leftMs(id), `round ${round}`).toBeGreaterThan(0);
    }
    worker.send(success(lease));
    expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
  });

  test('of the task comes before the one of its type, and a task without one is not watched', async () => {
    const { worker, lease, type } = await running();
    worker.send(success(lease));
    await rig.submit(type, { deadlines: { heartbeat: durationFromMs(60_000) } });
    const [own] = await worker.assignments(1);
    expect(own?.heartbeatTimeout && durationMs(own.heartbeatTimeout)).toBe(60_000);
    const plain = await rig.type();
    const id = await rig.submit(plain);
    const other = await rig.workerOf(plain);
    expect((await other.assignments(1))[0]?.heartbeatTimeout).toBeUndefined();
    expect((await rig.stored(id)).row.heartbeatDeadline).toBeNull();
  });

  test('is the same for a worker without a stream', async () => {
    const type = await rig.type({ deadlines, retryPolicy: { ...quickRetry, attemptsMax: 1 } });
    const id = await rig.submit(type);
    const { session, assignments } = await rig.workers.leaseTasks({ taskTypes: [type] });
    if (session === undefined) throw new Error('leased without a session');
    expect(assignments[0]?.heartbeatTimeout).toBeDefined();
    const lease = leaseOf(assignments[0]);
    await rig.sql`UPDATE task SET heartbeat_deadline = now() + interval '1 hour' WHERE id = ${id}`;
    // Being alive is not enough: the session is renewed, the attempt is not heard of.
    await rig.workers.extendLeases({ session, held: [lease] });
    expect(await leftMs(id)).toBeGreaterThan(silenceMs);
    await rig.workers.reportTasks({ session, progress: sign(lease) });
    await expect.poll(() => leftMs(id), { timeout: 4_000 }).toBeLessThanOrEqual(silenceMs);
    await letTimePass(id);
    expect(await rig.end(id)).toBe('FAILED');
    const { settlements } = await rig.workers.reportTasks({ session, succeeded: { items: [{ lease }] } });
    expect(settlements.map(outcomeOf)).toEqual(['LEASE_LOST']);
  });
});

test('progress on thousands of tasks is stored at once, not a batch a second', async () => {
  const type = await rig.type({ deadlines: { heartbeat: durationFromMs(60_000) } });
  await rig.tasks.submitTasks({ requests: Array.from({ length: 1_000 }, () => ({ type })) });
  await rig.tasks.submitTasks({ requests: Array.from({ length: 1_000 }, () => ({ type })) });
  const worker = await rig.workerOf(type, 2_000);
  const leases = (await worker.assignments(2_000, 20_000)).map(leaseOf);
  for (let at = 0; at < leases.length; at += 1_000) worker.send(acceptance(...leases.slice(at, at + 1_000)));
  const report = (percent: number) => {
    for (let at = 0; at < leases.length; at += 1_000) {
      const items = leases.slice(at, at + 1_000).map((lease) => ({ lease, progress: { percent } }));
      worker.send({ case: 'progress', value: { items } });
    }
  };
  const stored = async (percent: number) =>
    (await rig.sql`SELECT 1 FROM task WHERE type = ${type} AND progress_percent = ${percent}`).length;
  report(1);
  await expect.poll(() => stored(1), { timeout: 20_000 }).toBe(2_000);
  report(2);
  // Nothing of it waits for another round: once the first is there, the last is under way.
  await expect.poll(() => stored(2), { timeout: 20_000, interval: 20 }).toBeGreaterThan(0);
  const sinceMs = performance.now();
  await expect.poll(() => stored(2), { timeout: 20_000, interval: 20 }).toBe(2_000);
  const tookMs = performance.now() - sinceMs;
  // Four batches with a pause after each would take three seconds.
  expect(tookMs).toBeLessThan(2_500);
}, 90_000);
