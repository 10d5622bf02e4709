import { ReconciliationVerdict } from '@dstc/contract/dstc/v1/worker_pb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { leaseOf, outcomeOf, type RawWorkerOptions } from '../setup/raw-worker.ts';
import { acceptance, type EngineRig, failure, release, startEngineRig, success, type WelcomedWorker } from './rig.ts';

const leaseMs = 1_500;
let rig: EngineRig;
beforeAll(async () => {
  rig = await startEngineRig({ DSTC_LEASE_MS: String(leaseMs) });
});
afterAll(() => rig.stop());

/** A worker with some tasks of a type, accepted or not. */
async function working(count: number, { accepts = true, options = {} as Partial<RawWorkerOptions> } = {}) {
  const type = await rig.type();
  const ids: string[] = [];
  for (let n = 0; n < count; n += 1) ids.push(await rig.submit(type));
  const worker = await rig.workerOf(type, 10, options);
  const leases = (await worker.assignments(count)).map(leaseOf);
  if (accepts) {
    worker.send(acceptance(...leases));
    for (const id of ids) await expect.poll(() => rig.kinds(id)).toContain('STARTED');
  }
  return { type, ids, worker, leases };
}

function resume(
  { type, worker, leases }: Pick<Awaited<ReturnType<typeof working>>, 'type' | 'worker' | 'leases'>,
  options: Partial<RawWorkerOptions> = {},
): Promise<WelcomedWorker> {
  const hello = { taskTypes: [{ taskType: type, slots: 10 }], slots: 10 };
  return rig.worker({ ...hello, resume: { ...worker.session, held: leases } }, options);
}

async function verdictsOf(worker: WelcomedWorker): Promise<string[]> {
  const { items } = await worker.next('reconciled');
  return items.map((item) => ReconciliationVerdict[item.verdict] ?? '');
}

describe('a worker whose stream was cut', () => {
  test.each([
    ['the same node', false],
    ['another node', true],
  ])('goes on with its leases on %s, and no attempt is spent', async (_, elsewhere) => {
    const before = await working(2);
    const node = elsewhere ? await rig.coordinator.startNode() : undefined;
    before.worker.cut();
    const worker = await resume(before, node === undefined ? {} : { address: node.grpcAddress });
    expect(worker.session.sessionId).toBe(before.worker.session.sessionId);
    expect(await verdictsOf(worker)).toEqual(['KEEP', 'KEEP']);
    // Three pings are a lease; this is longer than a session without its stream would live.
    for (let ping = 0; ping < 5; ping += 1) await worker.next('ping');
    worker.send(success(...before.leases));
    expect((await worker.settlements(before.leases)).map(outcomeOf)).toEqual(['RECORDED', 'RECORDED']);
    for (const id of before.ids) expect(await rig.kinds(id)).toEqual(['SUBMITTED', 'LEASED', 'STARTED', 'SUCCEEDED']);
    await node?.stop();
  });

  test('is told of each lease what became of it meanwhile', async () => {
    const before = await working(4);
    const [kept, finished, cancelled] = before.leases;
    before.worker.send(success(...before.leases.slice(1, 2)));
    await before.worker.settlements([finished]);
    before.worker.cut();
    await rig.tasks.cancelTask({ id: cancelled?.taskId ?? '', grace: {} });
    expect(await rig.end(cancelled?.taskId ?? '')).toBe('CANCELLED');
    const [unnamed] = before.leases.slice(3);
    const worker = await resume({ ...before, leases: before.leases.slice(0, 3) });
    expect(await verdictsOf(worker)).toEqual(['KEEP', 'ALREADY_FINISHED', 'DROP']);
    // What it did not name never arrived, as far as it knows: it comes back, unspent.
    const [again] = await worker.assignments(1);
    expect(again?.lease).toMatchObject({ taskId: unnamed?.taskId, attempt: 1 });
    worker.send(success(...(kept === undefined ? [] : [kept])));
    expect((await worker.settlements([kept])).map(outcomeOf)).toEqual(['RECORDED']);
  });

  test('sends its report again and is told that it was recorded', async () => {
    const before = await working(1);
    before.worker.send(success(...before.leases));
    await before.worker.settlements(before.leases);
    before.worker.cut();
    const worker = await resume(before);
    worker.send(success(...before.leases));
    expect((await worker.settlements(before.leases)).map(outcomeOf)).toEqual(['ALREADY_RECORDED']);
  });

  test('keeps its credits: what it resumes with counts', async () => {
    const before = await working(3);
    before.worker.cut();
    const hello = { taskTypes: [{ taskType: before.type, slots: 4 }], slots: 4 };
    const worker = await rig.worker({ ...hello, resume: { ...before.worker.session, held: before.leases } });
    for (let n = 0; n < 3; n += 1) await rig.submit(before.type);
    await worker.assignments(1);
    const probe = await rig.workerOf(before.type);
    await probe.assignments(2);
    expect(worker.assigned).toHaveLength(1);
  });

  test('cannot be taken over without its secret, by another principal, or in another namespace', async () => {
    const before = await working(1);
    const hello = { taskTypes: [{ taskType: before.type, slots: 1 }], slots: 1 };
    const { sessionId, resumeSecret } = before.worker.session;
    const operator = await rig.coordinator.token('operator');
    const resumed = { ...hello, resume: { sessionId, resumeSecret } };
    const attempts = [
      () => rig.worker({ ...hello, resume: { sessionId, resumeSecret: 'guess' } }),
      () => rig.worker(resumed, { token: operator }),
      () => rig.worker({ ...resumed, namespace: 'other' }, { token: operator }),
    ];
    for (const attempt of attempts) await expect(attempt()).rejects.toThrow('NOT_FOUND SESSION_NOT_FOUND');
    before.worker.send(success(...before.leases));
    expect((await before.worker.settlements(before.leases)).map(outcomeOf)).toEqual(['RECORDED']);
  });

  test('loses its old stream when it comes back before that was found dead', async () => {
    const before = await working(1);
    const worker = await resume(before);
    expect(await before.worker.ended).toEqual({ code: 'NOT_FOUND', reason: 'SESSION_NOT_FOUND' });
    worker.send(success(...before.leases));
    expect((await worker.settlements(before.leases)).map(outcomeOf)).toEqual(['RECORDED']);
  });

  test('and moved to another node loses its old stream there', async () => {
    const before = await working(1);
    const node = await rig.coordinator.startNode();
    const worker = await resume(before, { address: node.grpcAddress });
    expect(await before.worker.ended).toEqual({ code: 'NOT_FOUND', reason: 'SESSION_NOT_FOUND' });
    worker.send(success(...before.leases));
    expect((await worker.settlements(before.leases)).map(outcomeOf)).toEqual(['RECORDED']);
    await node.stop();
  });
});

describe('a worker that does not come back', () => {
  test('loses its leases one lease after its last sign of life, and the attempt with them', async () => {
    const { type, ids, worker, leases } = await working(1);
    const [id = ''] = ids;
    const other = await rig.workerOf(type);
    const cutMs = performance.now();
    worker.cut();
    const [again] = await other.assignments(1, leaseMs + 3_000);
    const tookMs = performance.now() - cutMs;
    expect(tookMs).toBeGreaterThan((leaseMs * 2) / 3 - 100);
    expect(tookMs).toBeLessThan(leaseMs + 1_500);
    expect(again?.lease).toMatchObject({ taskId: id, attempt: 2 });
    const { events, row } = await rig.stored(id);
    expect(events.map((event) => event.kind)).toEqual(['submitted', 'leased', 'started', 'lease_lost', 'leased']);
    expect(events[3]).toMatchObject({ actor: 'system:sweep', error: { code: 'WORKER_LOST' } });
    expect(row.crashes).toBe(1);

    await expect(resume({ type, worker, leases })).rejects.toThrow('SESSION_NOT_FOUND');
  });

  test('and is silent on an open stream is cut off, and loses its leases as soon', async () => {
    const { type, ids, worker } = await working(1, { options: { answersPings: false } });
    const other = await rig.workerOf(type);
    const silentSinceMs = performance.now();
    expect(await worker.ended).toEqual({ code: 'DEADLINE_EXCEEDED', reason: 'DEADLINE_EXCEEDED' });
    const [again] = await other.assignments(1, leaseMs + 3_000);
    expect(performance.now() - silentSinceMs).toBeLessThan(leaseMs + 1_500);
    expect(again?.lease).toMatchObject({ taskId: ids[0], attempt: 2 });
  });

  test('after a goodbye loses what it still holds at once', async () => {
    const { type, worker } = await working(1);
    const other = await rig.workerOf(type);
    worker.send({ case: 'draining', value: {} });
    expect(await worker.goodbye()).toEqual({ code: 'OK', reason: '' });
    const [again] = await other.assignments(1, 1_400);
    expect(again?.lease?.attempt).toBe(2);
  });
});

test('a task that loses one worker after the other is held to be what kills them', async () => {
  const type = await rig.type({ retryPolicy: { attemptsMax: 100 } });
  const id = await rig.submit(type);
  for (let attempt = 1; attempt <= 5; attempt += 1) {
    const worker = await rig.workerOf(type);
    const [assignment] = await worker.assignments(1);
    expect(assignment?.lease?.attempt).toBe(attempt);
    worker.send(acceptance(leaseOf(assignment)));
    worker.send({ case: 'draining', value: {} });
    await worker.goodbye();
  }
  expect(await rig.end(id)).toBe('FAILED');
  expect((await rig.stored(id)).row).toMatchObject({ crashes: 5, error: { code: 'WORKER_LOST' } });
}, 15_000);

test('failures and releases do not count as lost workers', async () => {
  const type = await rig.type();
  const id = await rig.submit(type);
  const worker = await rig.workerOf(type, 1);
  for (const report of [failure, release, failure]) worker.send(report(leaseOf((await worker.assignments(1))[0])));
  await worker.assignments(1);
  expect((await rig.stored(id)).row).toMatchObject({ crashes: 0, attempt: 3 });
});

test('a node that drains sends its workers elsewhere, and they lose nothing', async () => {
  const node = await rig.coordinator.startNode();
  const before = await working(2, { options: { address: node.grpcAddress } });
  const drained = node.drain();
  const { within } = await before.worker.next('drain');
  expect(Number(within?.seconds)).toBeGreaterThan(0);
  const third = await rig.submit(before.type);
  const worker = await resume(before);
  expect(await verdictsOf(worker)).toEqual(['KEEP', 'KEEP']);
  const [next] = await worker.assignments(1);
  expect(next?.lease?.taskId).toBe(third);
  before.worker.cut();
  await drained;
  worker.send(success(...before.leases));
  expect((await worker.settlements(before.leases)).map(outcomeOf)).toEqual(['RECORDED', 'RECORDED']);
  for (const id of before.ids) expect((await rig.stored(id)).row.attempt).toBe(1);
}, 15_000);

test('a node that drains still takes reports on the stream it wants to end', async () => {
  const node = await rig.coordinator.startNode();
  const { worker, leases } = await working(1, { options: { address: node.grpcAddress } });
  const drained = node.drain();
  await worker.next('drain');
  worker.send(success(...leases));
  expect((await worker.settlements(leases)).map(outcomeOf)).toEqual(['RECORDED']);
  worker.send({ case: 'draining', value: {} });
  expect(await worker.goodbye()).toEqual({ code: 'OK', reason: '' });
  await drained;
}, 15_000);

test('a worker is told within seconds of a lease that was taken back behind its node, and its place is free', async () => {
  const { ids, worker, type, leases } = await working(1);
  await rig.sql`
    UPDATE task SET state = 'CANCELLED', finished_time = now(), lease_id = NULL, session_id = NULL
    WHERE id = ${ids[0] ?? ''}`;
  worker.send({ case: 'demand', value: { credits: 1, taskTypes: [] } });
  const next = await rig.submit(type);
  const [cancelled] = (await worker.next('cancels', 15_000)).items;
  expect(cancelled?.lease?.leaseId).toBe(leases[0]?.leaseId);
  expect((await worker.assignments(1))[0]?.lease?.taskId).toBe(next);
}, 25_000);
