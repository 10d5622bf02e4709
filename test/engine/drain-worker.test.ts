import { durationFromMs, durationMs } from '@bufbuild/protobuf/wkt';
import { ReconciliationVerdict } from '@dstc/contract/dstc/v1/worker_pb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { refusalOf } from '../doors/rig.ts';
import type { TestNode } from '../setup/coordinator.ts';
import { leaseOf, outcomeOf } from '../setup/raw-worker.ts';
import { acceptance, clientsOf, type EngineRig, startEngineRig, success, type WelcomedWorker } from './rig.ts';

let rig: EngineRig;
let otherNode: TestNode;
let elsewhere: ReturnType<typeof clientsOf>;
beforeAll(async () => {
  rig = await startEngineRig();
  otherNode = await rig.coordinator.startNode();
  elsewhere = clientsOf(otherNode.grpcAddress, await rig.coordinator.token('operator'));
});
afterAll(() => rig.stop());

/** A worker with two places that works on one task. */
async function working() {
  const type = await rig.type();
  const id = await rig.submit(type);
  const worker = await rig.workerOf(type, 2);
  const lease = leaseOf((await worker.assignments(1))[0]);
  worker.send(acceptance(lease));
  await expect.poll(() => rig.kinds(id)).toContain('STARTED');
  return { type, id, worker, lease };
}

const sessionOf = (worker: WelcomedWorker) => ({ sessionId: worker.session.sessionId });
const minute = durationFromMs(60_000);

describe('a worker that an operator drains', () => {
  test.each([
    ['its own node', () => rig.workers],
    ['another node', () => elsewhere.workers],
  ])('through %s is told, gets no more tasks, and keeps the right to report', async (_, via) => {
    const { type, id, worker, lease } = await working();
    const { worker: drained } = await via().drainWorker({ ...sessionOf(worker), reason: 'a new version' });
    expect(drained).toMatchObject({ draining: true, drainReason: 'a new version', leases: 1 });
    expect(drained?.drainDeadline).toBeUndefined();
    // Told or not yet: from the answer on, the database gives it nothing.
    const next = await rig.submit(type);
    const { reason, within } = await worker.next('stop');
    expect({ reason, within }).toEqual({ reason: 'a new version', within: undefined });
    const witness = await rig.workerOf(type, 1);
    expect((await witness.assignments(1))[0]?.lease?.taskId).toBe(next);
    expect(worker.assigned).toHaveLength(1);

    worker.send(success(lease));
    expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
    worker.send({ case: 'draining', value: {} });
    expect(await worker.goodbye()).toEqual({ code: 'OK', reason: '' });
    expect((await rig.stored(id)).row.attempt).toBe(1);
  });

  test('resumes for its results alone, on any node, and is told again', async () => {
    const { type, worker, lease } = await working();
    await rig.workers.drainWorker({ ...sessionOf(worker), reason: 'maintenance', within: minute });
    worker.cut();
    const hello = { taskTypes: [{ taskType: type, slots: 2 }], slots: 2 };
    const resume = { ...worker.session, held: [lease] };
    const again = await rig.worker({ ...hello, resume }, { address: otherNode.grpcAddress });
    expect((await again.next('reconciled')).items).toMatchObject([{ verdict: ReconciliationVerdict.KEEP }]);
    const stop = await again.next('stop');
    expect(stop.reason).toBe('maintenance');
    expect(stop.within && durationMs(stop.within)).toBeGreaterThan(50_000);
    expect(stop.within && durationMs(stop.within)).toBeLessThanOrEqual(60_000);
    const next = await rig.submit(type);
    const witness = await rig.workerOf(type, 1);
    expect((await witness.assignments(1))[0]?.lease?.taskId).toBe(next);
    again.send(success(lease));
    expect((await again.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
    expect(again.assigned).toEqual([]);
  });

  test.each([
    ['its own node', () => rig.workers],
    ['another node', () => elsewhere.workers],
  ])('through %s and outstays its time loses its tasks to others, unspent, and its session', async (_, via) => {
    const { type, id, worker, lease } = await working();
    const other = await rig.workerOf(type);
    await via().drainWorker({ ...sessionOf(worker), within: minute });
    await worker.next('stop');
    await rig.sql`UPDATE worker_session SET drain_deadline = now() WHERE id = ${worker.session.sessionId}`;
    const [taken] = await other.assignments(1);
    expect(taken?.lease).toMatchObject({ taskId: id, attempt: 1 });
    expect((await rig.stored(id)).row.crashes).toBe(0);
    worker.send(success(lease));
    expect(await worker.ended).toEqual({ code: 'FAILED_PRECONDITION', reason: 'WORKER_DRAINED' });
    // Its report was refused, or came when the stream had ended.
    expect((await rig.stored(id)).row).toMatchObject({ state: 'RUNNING', sessionId: other.session.sessionId });
    expect(await refusalOf(rig.workers.drainWorker(sessionOf(worker)))).toMatchObject({ reason: 'SESSION_NOT_FOUND' });
  });

  test('is told again when the operator changes his mind, and the last word counts', async () => {
    const { type, id, worker } = await working();
    const other = await rig.workerOf(type);
    const first = await rig.workers.drainWorker({ ...sessionOf(worker), reason: 'soon', within: minute });
    expect(Number(first.worker?.drainDeadline?.seconds)).toBeGreaterThan(0);
    expect((await worker.next('stop')).reason).toBe('soon');
    const second = await rig.workers.drainWorker({ ...sessionOf(worker), reason: 'no hurry' });
    expect(second.worker?.drainDeadline).toBeUndefined();
    expect((await worker.next('stop')).reason).toBe('no hurry');
    await rig.workers.drainWorker({ ...sessionOf(worker), reason: 'now', within: durationFromMs(1) });
    expect((await worker.next('stop')).reason).toBe('now');
    expect((await other.assignments(1))[0]?.lease).toMatchObject({ taskId: id, attempt: 1 });
  });
});

describe('a worker without a stream that an operator drains', () => {
  test('is told by every call and leases nothing more', async () => {
    const type = await rig.type();
    const id = await rig.submit(type);
    const leased = await rig.workers.leaseTasks({ taskTypes: [type] });
    const { session } = leased;
    if (session === undefined) throw new Error('leased without a session');
    await elsewhere.workers.drainWorker({ sessionId: session.sessionId, reason: 'enough' });
    await rig.submit(type);
    const more = await rig.workers.leaseTasks({ session, taskTypes: [type], wait: { seconds: 30n } });
    expect(more).toMatchObject({ assignments: [], stop: { reason: 'enough' } });
    const lease = leaseOf(leased.assignments[0]);
    expect(await rig.workers.extendLeases({ session, held: [lease] })).toMatchObject({
      reconciled: [{ verdict: ReconciliationVerdict.KEEP }],
      stop: { reason: 'enough' },
    });
    const { settlements } = await rig.workers.reportTasks({ session, succeeded: { items: [{ lease }] } });
    expect(settlements.map(outcomeOf)).toEqual(['RECORDED']);
    expect(await rig.state(id)).toBe('SUCCEEDED');
  });

  test.each([
    ['its own node', () => rig.workers],
    ['another node', () => elsewhere.workers],
  ])(
    'while it waits for tasks, through %s, waits no longer',
    async (_, via) => {
      const type = await rig.type();
      const { session } = await rig.workers.leaseTasks({ taskTypes: [type] });
      if (session === undefined) throw new Error('no session');
      const waiting = rig.workers.leaseTasks({ session, taskTypes: [type], wait: { seconds: 20n } });
      await via().drainWorker({ sessionId: session.sessionId, reason: 'enough' });
      expect(await waiting).toMatchObject({ assignments: [], stop: { reason: 'enough' } });
    },
    10_000,
  );

  test('loses what it holds to others, unspent, when its time is over', async () => {
    const type = await rig.type();
    const id = await rig.submit(type);
    const leased = await rig.workers.leaseTasks({ taskTypes: [type] });
    const { session } = leased;
    if (session === undefined) throw new Error('leased without a session');
    const other = await rig.workerOf(type);
    await rig.workers.drainWorker({ sessionId: session.sessionId, within: durationFromMs(100) });
    expect((await other.assignments(1))[0]?.lease).toMatchObject({ taskId: id, attempt: 1 });
    expect(await refusalOf(rig.workers.extendLeases({ session }))).toMatchObject({ reason: 'SESSION_NOT_FOUND' });
  });
});
