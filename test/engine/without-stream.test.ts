import { ReconciliationVerdict } from '@dstc/contract/dstc/v1/worker_pb';
import type { LeaseTasksResponse } from '@dstc/contract/dstc/v1/worker_service_pb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { refusalOf } from '../doors/rig.ts';
import { leaseOf, outcomeOf } from '../setup/raw-worker.ts';
import { clientsOf, type EngineRig, startEngineRig } from './rig.ts';

const leaseMs = 1_500;
let rig: EngineRig;
beforeAll(async () => {
  rig = await startEngineRig({ DSTC_LEASE_MS: String(leaseMs) });
});
afterAll(() => rig.stop());

function sessionOf({ session }: LeaseTasksResponse) {
  if (session === undefined) throw new Error('leased without a session');
  return { sessionId: session.sessionId, resumeSecret: session.resumeSecret };
}

test('leases, extends and reports like a stream', async () => {
  const type = await rig.type();
  const ids = [await rig.submit(type), await rig.submit(type), await rig.submit(type)];
  const leased = await rig.workers.leaseTasks({ taskTypes: [type], tasksMax: 2 });
  const session = sessionOf(leased);
  const leases = leased.assignments.map(leaseOf);
  expect(leases.map((lease) => lease.taskId)).toEqual(ids.slice(0, 2));
  for (const id of ids.slice(0, 2)) await expect.poll(() => rig.kinds(id)).toEqual(['SUBMITTED', 'LEASED', 'STARTED']);

  const [first, second] = leases;
  await rig.tasks.cancelTask({ id: second?.taskId ?? '', reason: 'not needed' });
  const foreign = { taskId: ids[2] ?? '', attempt: 1, leaseId: second?.leaseId ?? '' };
  const extended = await rig.workers.extendLeases({ session, held: [...leases, foreign] });
  expect(extended.reconciled.map((item) => ReconciliationVerdict[item.verdict])).toEqual(['KEEP', 'KEEP', 'DROP']);
  expect(extended.cancels.map((item) => [item.lease?.taskId, item.reason])).toEqual([[second?.taskId, 'not needed']]);

  const report = {
    session,
    succeeded: { items: first === undefined ? [] : [{ lease: first }] },
    cancelAcknowledged: { leases: second === undefined ? [] : [second] },
  };
  const { settlements } = await rig.workers.reportTasks(report);
  expect(settlements.map(outcomeOf)).toEqual(['RECORDED', 'RECORDED']);
  expect((await rig.workers.reportTasks(report)).settlements.map(outcomeOf)).toEqual([
    'ALREADY_RECORDED',
    'ALREADY_RECORDED',
  ]);
  expect([await rig.state(ids[0] ?? ''), await rig.state(ids[1] ?? '')]).toEqual(['SUCCEEDED', 'CANCELLED']);
});

test('waits for the first task as long as it was asked to', async () => {
  const type = await rig.type();
  const waiting = rig.workers.leaseTasks({ taskTypes: [type], tasksMax: 5, wait: { seconds: 10n } });
  const empty = await rig.workers.leaseTasks({ taskTypes: [type] });
  expect(empty.assignments).toEqual([]);
  const id = await rig.submit(type);
  expect((await waiting).assignments.map((item) => item.lease?.taskId)).toEqual([id]);
});

test('serves two calls of one session at the same time, each within its bounds', async () => {
  const type = await rig.type();
  const session = sessionOf(await rig.workers.leaseTasks({ taskTypes: [type] }));
  const wait = { seconds: 10n };
  const calls = [1, 2].map((tasksMax) => rig.workers.leaseTasks({ session, taskTypes: [type], tasksMax, wait }));
  await rig.tasks.submitTasks({ requests: Array.from({ length: 4 }, () => ({ type })) });
  const leases = (await Promise.all(calls)).map(({ assignments }) => assignments.map(leaseOf));
  const [first = [], second = []] = leases;
  expect(first).toHaveLength(1);
  expect([1, 2]).toContain(second.length);
  const succeeded = { items: leases.flat().map((lease) => ({ lease })) };
  const { settlements } = await rig.workers.reportTasks({ session, succeeded });
  expect(new Set(settlements.map(outcomeOf))).toEqual(new Set(['RECORDED']));
});

test('leases no more than was asked for, over all types', async () => {
  const types = [await rig.type(), await rig.type()];
  for (const type of [...types, ...types, ...types]) await rig.submit(type);
  const { assignments } = await rig.workers.leaseTasks({ taskTypes: types, tasksMax: 4 });
  expect(assignments).toHaveLength(4);
  const rest = await rig.workers.leaseTasks({ taskTypes: types, tasksMax: 9 });
  expect(rest.assignments).toHaveLength(2);
});

test('loses its leases one lease after its last call, and every call renews them on any node', async () => {
  const type = await rig.type();
  const [renewed, lost] = [await rig.submit(type), await rig.submit(type)];
  const node = await rig.coordinator.startNode();
  const elsewhere = clientsOf(node.grpcAddress, await rig.coordinator.token('operator'));
  const keeps = await rig.workers.leaseTasks({ taskTypes: [type] });
  await rig.workers.leaseTasks({ taskTypes: [type] });
  const other = await rig.workerOf(type);
  // The one that falls silent is swept while the other one goes on calling.
  const swept = other.assignments(1, leaseMs + 3_000);
  let isSwept = false;
  void swept.then(() => {
    isSwept = true;
  });
  while (!isSwept) {
    await elsewhere.workers.extendLeases({ session: sessionOf(keeps), held: [] });
    await rig.workers.extendLeases({ session: sessionOf(keeps), held: [] });
    await rig.sql`SELECT pg_sleep(0.05)`;
  }
  expect((await swept)[0]?.lease).toMatchObject({ taskId: lost, attempt: 2 });
  const lease = leaseOf(keeps.assignments[0]);
  expect(lease.taskId).toBe(renewed);
  const { settlements } = await elsewhere.workers.reportTasks({
    session: sessionOf(keeps),
    succeeded: { items: [{ lease }] },
  });
  expect(settlements.map(outcomeOf)).toEqual(['RECORDED']);
  await node.stop();
});

test('is given again, unspent, what it says it does not hold, and keeps what it names', async () => {
  const type = await rig.type();
  const [kept, unheard] = [await rig.submit(type), await rig.submit(type)];
  const leased = await rig.workers.leaseTasks({ taskTypes: [type], tasksMax: 2 });
  const [first] = leased.assignments.map(leaseOf);
  // As if the answer had brought one of the two.
  const ask = { session: sessionOf(leased), taskTypes: [type], held: { leases: first === undefined ? [] : [first] } };
  let given: LeaseTasksResponse['assignments'] = [];
  const wait = { nanos: 200_000_000 };
  while (given.length === 0) ({ assignments: given } = await rig.workers.leaseTasks({ ...ask, wait }));
  expect(given.map(({ lease }) => [lease?.taskId, lease?.attempt])).toEqual([[unheard, 1]]);
  expect(first?.taskId).toBe(kept);
  expect((await rig.kinds(unheard)).slice(0, 4)).toEqual(['SUBMITTED', 'LEASED', 'STARTED', 'RELEASED']);
  const items = [first, leaseOf(given[0])].flatMap((lease) => lease ?? []).map((lease) => ({ lease }));
  const { settlements } = await rig.workers.reportTasks({ session: sessionOf(leased), succeeded: { items } });
  expect(settlements.map(outcomeOf)).toEqual(['RECORDED', 'RECORDED']);
});

test('is given again, unspent, what its node had no time to answer, though it does not say what it holds', async () => {
  const type = await rig.type();
  const id = await rig.submit(type);
  const leased = await rig.workers.leaseTasks({ taskTypes: [type] });
  await expect.poll(() => rig.kinds(id)).toContain('STARTED');
  // As a node leaves it that is killed between the lease and the answer.
  await rig.sql`UPDATE task SET started_time = NULL WHERE id = ${id}`;
  const ask = { session: sessionOf(leased), taskTypes: [type], wait: { nanos: 200_000_000 } };
  let given: LeaseTasksResponse['assignments'] = [];
  while (given.length === 0) ({ assignments: given } = await rig.workers.leaseTasks(ask));
  expect(given.map(({ lease }) => [lease?.taskId, lease?.attempt])).toEqual([[id, 1]]);
});

test('is refused with a secret that is not the session’s', async () => {
  const type = await rig.type();
  const { sessionId } = sessionOf(await rig.workers.leaseTasks({ taskTypes: [type] }));
  const session = { sessionId, resumeSecret: 'guess' };
  const refused = { code: 'NotFound', reason: 'SESSION_NOT_FOUND' };
  expect(await refusalOf(rig.workers.leaseTasks({ session, taskTypes: [type] }))).toMatchObject(refused);
  expect(await refusalOf(rig.workers.reportTasks({ session }))).toMatchObject(refused);
  expect(await refusalOf(rig.workers.extendLeases({ session }))).toMatchObject(refused);
});

test('settles a thousand reports of one call, right or wrong', async () => {
  const type = await rig.type();
  const requests = Array.from({ length: 500 }, () => ({ type }));
  await rig.tasks.submitTasks({ requests });
  const leased = await rig.workers.leaseTasks({ taskTypes: [type], tasksMax: 500 });
  const leases = leased.assignments.map(leaseOf);
  const stale = leases.map((lease) => ({ ...lease, attempt: 3 }));
  const items = [...leases, ...stale].map((lease) => ({ lease }));
  const { settlements } = await rig.workers.reportTasks({ session: sessionOf(leased), succeeded: { items } });
  const outcomes = settlements.map(outcomeOf);
  expect(leases.length).toBeGreaterThan(0);
  expect(new Set(outcomes.slice(0, leases.length))).toEqual(new Set(['RECORDED']));
  expect(new Set(outcomes.slice(leases.length))).toEqual(new Set(['LEASE_LOST']));
});
