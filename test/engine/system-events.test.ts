import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { CircuitMode } from '@dstc/contract/dstc/v1/circuit_pb';
import { FailureKind } from '@dstc/contract/dstc/v1/task_pb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SystemEventData } from '../../server/domain/system-event.ts';
import { refusalOf } from '../doors/rig.ts';
import type { TestNode } from '../setup/coordinator.ts';
import { leaseOf } from '../setup/raw-worker.ts';
import {
  acceptance,
  clientsOf,
  type EngineRig,
  failure,
  quickRetry,
  startEngineRig,
  success,
  type WelcomedWorker,
} from './rig.ts';

const leaseMs = 2_000;
let rig: EngineRig;
let otherNode: TestNode;
let operator: string;
/** The operator at each node. */
let both: readonly [ReturnType<typeof clientsOf>, ReturnType<typeof clientsOf>];
beforeAll(async () => {
  rig = await startEngineRig({ DSTC_LEASE_MS: String(leaseMs) });
  otherNode = await rig.coordinator.startNode();
  const token = await rig.coordinator.token('operator');
  both = [clientsOf(rig.coordinator.grpcAddress, token), clientsOf(otherNode.grpcAddress, token)];
  await rig.namespaces.pauseNamespace({ namespace: 'whose', reason: '' });
  operator = (await told('namespace', 'whose', 'whose'))[0]?.actor ?? '';
});
afterAll(() => rig.stop());

interface Told {
  readonly kind: string;
  readonly sequence: number;
  readonly actor: string;
  readonly data: SystemEventData;
}

/** What the history says of one thing, in the order of its sequence, which is that of the stream, too. */
async function told(of: string, subject: string, namespace = 'default'): Promise<Told[]> {
  const rows = await rig.sql<(Told & { order: string })[]>`
    SELECT kind, sequence, actor, data, stream_order::text AS order FROM system_event
    WHERE namespace = ${namespace} AND subject = ${subject} AND split_part(kind, '.', 1) = ${of} ORDER BY sequence`;
  expect(rows.map(({ sequence }) => sequence)).toEqual(rows.map((_, index) => index + 1));
  for (const [index, { order }] of rows.entries()) {
    expect(BigInt(order)).toBeGreaterThanOrEqual(BigInt(rows[index - 1]?.order ?? 0));
  }
  return rows.map(({ order: _, ...event }) => event);
}

const kindsOf = (events: readonly Told[]) => events.map(({ kind }) => kind);

test('the operator who commands is named as the actor', () => {
  expect(operator).toContain('operator');
});

describe('a task type', () => {
  test('that is applied and deleted is told with the etag of each version, and what is refused is not', async () => {
    const type = await rig.type();
    const first = await rig.types.getTaskType({ name: type });
    const second = await both[1].types.applyTaskType({ taskType: { name: type, description: 'changed' } });
    const stale = first.taskType?.etag ?? '';
    const applying = rig.types.applyTaskType({ taskType: { name: type, etag: stale } });
    expect(await refusalOf(applying)).toMatchObject({ reason: 'ETAG_MISMATCH' });
    const deleting = rig.types.deleteTaskType({ name: type, etag: stale });
    expect(await refusalOf(deleting)).toMatchObject({ reason: 'ETAG_MISMATCH' });
    await both[1].types.deleteTaskType({ name: type });
    expect(await refusalOf(rig.types.deleteTaskType({ name: type }))).toMatchObject({ reason: 'TASK_TYPE_NOT_FOUND' });
    const etags = [stale, second.taskType?.etag, second.taskType?.etag];
    expect(await told('task_type', type)).toEqual(
      ['task_type.applied', 'task_type.applied', 'task_type.deleted'].map((kind, index) => ({
        ...{ kind, sequence: index + 1, actor: operator, data: { etag: etags[index] } },
      })),
    );
  });

  test('that has tasks and is not deleted is not told to be', async () => {
    const type = await rig.type();
    await rig.submit(type);
    expect(await refusalOf(rig.types.deleteTaskType({ name: type }))).toMatchObject({ reason: 'STATE_CONFLICT' });
    expect(kindsOf(await told('task_type', type))).toEqual(['task_type.applied']);
  });

  test('that is paused or resumed on both nodes is told once, with the reason of who came first', async () => {
    const name = await rig.type();
    await both[0].types.pauseTaskType({ name, reason: 'the first' });
    await both[1].types.pauseTaskType({ name, reason: 'the second' });
    await both[1].types.resumeTaskType({ name, reason: 'over' });
    await both[0].types.resumeTaskType({ name, reason: 'over, too' });
    expect((await told('task_type', name)).slice(1)).toEqual([
      { kind: 'task_type.paused', sequence: 2, actor: operator, data: { reason: 'the first' } },
      { kind: 'task_type.resumed', sequence: 3, actor: operator, data: { reason: 'over' } },
    ]);
  });

  test('changed by many at once, on both nodes, has a history without gaps in which pause and resume alternate', async () => {
    const name = await rig.type();
    const rounds = Array.from({ length: 12 }, (_, round) => round);
    await Promise.all(
      rounds.flatMap((round) =>
        both.flatMap(({ types }) => [
          types.applyTaskType({ taskType: { name, description: `${round}` } }),
          types.pauseTaskType({ name }),
          types.resumeTaskType({ name }),
          types.setTaskTypeCircuit({ name, mode: round % 2 === 0 ? CircuitMode.FORCED_OPEN : CircuitMode.AUTOMATIC }),
        ]),
      ),
    );
    await rig.types.resumeTaskType({ name });
    const kinds = kindsOf(await told('task_type', name));
    expect(kinds.filter((kind) => kind === 'task_type.applied')).toHaveLength(1 + 2 * rounds.length);
    const gate = kinds.filter((kind) => kind !== 'task_type.applied');
    expect(gate.length).toBeGreaterThan(0);
    expect(gate).toEqual(gate.map((_, index) => (index % 2 === 0 ? 'task_type.paused' : 'task_type.resumed')));
    expect(gate.length % 2).toBe(0);
    const circuit = kindsOf(await told('circuit', name));
    expect(circuit).toEqual(circuit.map((_, index) => (index % 2 === 0 ? 'circuit.opened' : 'circuit.closed')));
  });

  test('paused while it is deleted is either refused or deleted with its pause, and never paused afterwards', async () => {
    const names = await Promise.all(Array.from({ length: 10 }, () => rig.type()));
    await Promise.all(
      names.flatMap((name) => [
        both[0].types.deleteTaskType({ name }),
        both[1].types.pauseTaskType({ name }).catch(() => undefined),
      ]),
    );
    for (const name of names) expect(kindsOf(await told('task_type', name)).at(-1)).toBe('task_type.deleted');
    expect(await rig.sql`SELECT FROM task_gate WHERE type = ANY(${names}) AND paused_time IS NOT NULL`).toHaveLength(0);
  });
});

test('a namespace that is paused and resumed is told once each, whoever says it again', async () => {
  const namespace = 'held-up';
  for (const { namespaces } of both) await namespaces.pauseNamespace({ namespace, reason: 'maintenance' });
  for (const { namespaces } of both) await namespaces.resumeNamespace({ namespace, reason: '' });
  expect(await told('namespace', namespace, namespace)).toEqual([
    { kind: 'namespace.paused', sequence: 1, actor: operator, data: { reason: 'maintenance' } },
    { kind: 'namespace.resumed', sequence: 2, actor: operator, data: { reason: '' } },
  ]);
});

describe('a circuit', () => {
  const fatal = { code: 'KEY_REVOKED', kind: FailureKind.FATAL };

  test('set by hand is told with who did it, and whether it stays so; set to what it is, it is not told', async () => {
    const name = await rig.type();
    const modes = [CircuitMode.AUTOMATIC, CircuitMode.FORCED_OPEN, CircuitMode.FORCED_CLOSED, CircuitMode.AUTOMATIC];
    for (const mode of modes) {
      for (const { types } of both) await types.setTaskTypeCircuit({ name, mode, reason: CircuitMode[mode] });
    }
    const byHand = (kind: string, sequence: number, reason: string, isForced: boolean) => ({
      ...{ kind, sequence, actor: operator, data: { reason, isForced } },
    });
    expect(await told('circuit', name)).toEqual([
      byHand('circuit.opened', 1, 'FORCED_OPEN', true),
      byHand('circuit.closed', 2, 'FORCED_CLOSED', true),
      byHand('circuit.closed', 3, 'AUTOMATIC', false),
    ]);
  });

  test('of a breaker is told when it opens, when the first of all probes is leased, and when it closes', async () => {
    const probes = 4;
    const breaker = { openDuration: { seconds: 1n }, probes };
    const type = await rig.type({ circuitBreaker: breaker, retryPolicy: { ...quickRetry, attemptsMax: 1 } });
    await rig.submit(type);
    const first = await rig.workerOf(type, 1);
    const lease = leaseOf((await first.assignments(1))[0]);
    first.send(failure(lease, fatal));
    await first.settlements([lease]);
    first.cut();
    const workers = [
      await rig.workerOf(type, 2),
      await rig.workerOf(type, 2, { address: otherNode.grpcAddress }),
    ] as const;
    for (let n = 0; n < probes; n += 1) await rig.submit(type);
    // Each has its two before one is done, which would have room for those of the other.
    const given = await Promise.all(
      workers.map(async (worker) => {
        const leases = (await worker.assignments(2, 8_000)).map(leaseOf);
        worker.send(acceptance(...leases));
        return { worker, leases };
      }),
    );
    for (const { worker, leases } of given) {
      worker.send(success(...leases));
      await worker.settlements(leases);
    }
    const system = (kind: string, sequence: number, data: SystemEventData) => ({
      ...{ kind, sequence, actor: 'system:circuit', data },
    });
    await expect
      .poll(() => told('circuit', type), { timeout: 8_000 })
      .toEqual([
        system('circuit.opened', 1, { reason: 'an attempt failed fatally with KEY_REVOKED', isForced: false }),
        system('circuit.half_opened', 2, { reason: 'probes are leased' }),
        system('circuit.closed', 3, { reason: '4 of 4 probes succeeded', isForced: false }),
      ]);
  });
});

describe('a worker session', () => {
  const sessionOf = (worker: WelcomedWorker) => worker.session.sessionId;
  const last = async (worker: WelcomedWorker) => (await told('worker_session', sessionOf(worker))).at(-1);
  const ended = (worker: WelcomedWorker) =>
    expect.poll(() => last(worker), { timeout: 4 * leaseMs }).toMatchObject({ kind: 'worker_session.ended' });

  test('is told with what it offers when it starts, and with its worker when that ends it', async () => {
    const type = await rig.type();
    const hello = { taskTypes: [{ taskType: type, slots: 3 }], slots: 3, labels: { zone: 'a' } };
    const worker = await rig.worker(hello, { address: otherNode.grpcAddress });
    const [started, ...others] = await told('worker_session', sessionOf(worker));
    expect(started).toMatchObject({
      kind: 'worker_session.started',
      data: { taskTypes: { [type]: 3 }, labels: { zone: 'a' }, node: 'node-2' },
    });
    expect(started?.actor).toContain('worker');
    expect(others).toEqual([]);
    worker.send({ case: 'draining', value: {} });
    await worker.goodbye();
    await ended(worker);
    expect((await told('worker_session', sessionOf(worker))).slice(1)).toEqual([
      {
        kind: 'worker_session.ended',
        sequence: 2,
        actor: started?.actor,
        data: { reason: 'the worker has ended it' },
      },
    ]);
  });

  test('that falls silent is told to have ended, after what it held is lost; coming back on another node is no event', async () => {
    const type = await rig.type();
    const id = await rig.submit(type);
    const before = await rig.workerOf(type, 1);
    const lease = leaseOf((await before.assignments(1))[0]);
    before.send(acceptance(lease));
    await expect.poll(() => rig.kinds(id)).toContain('STARTED');
    before.cut();
    const hello = { taskTypes: [{ taskType: type, slots: 1 }], slots: 1 };
    const resume = { ...before.session, held: [lease] };
    const worker = await rig.worker({ ...hello, resume }, { address: otherNode.grpcAddress });
    expect(sessionOf(worker)).toBe(sessionOf(before));
    worker.cut();
    await ended(worker);
    expect((await told('worker_session', sessionOf(worker))).slice(1)).toEqual([
      {
        kind: 'worker_session.ended',
        sequence: 2,
        actor: 'system:sweep',
        data: { reason: 'the worker gave no sign of life and its session expired' },
      },
    ]);
    expect(await rig.kinds(id)).toContain('LEASE_LOST');
  });

  test('that is drained is told with the last word of the operator, and ends when its time is over', async () => {
    const type = await rig.type();
    await rig.submit(type);
    const worker = await rig.workerOf(type, 1);
    const lease = leaseOf((await worker.assignments(1))[0]);
    worker.send(acceptance(lease));
    await both[1].workers.drainWorker({ sessionId: sessionOf(worker), reason: 'soon' });
    await both[0].workers.drainWorker({ sessionId: sessionOf(worker), reason: 'now', within: durationFromMs(500) });
    await ended(worker);
    const [, first, second, end] = await told('worker_session', sessionOf(worker));
    expect(first).toEqual({
      ...{ kind: 'worker_session.drained', sequence: 2, actor: operator, data: { reason: 'soon' } },
    });
    expect(second).toMatchObject({ kind: 'worker_session.drained', actor: operator, data: { reason: 'now' } });
    expect(second?.data.deadline).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(end).toMatchObject({
      actor: 'system:sweep',
      data: { reason: 'the worker is drained and its time is over' },
    });
    const refused = rig.workers.drainWorker({ sessionId: sessionOf(worker) });
    expect(await refusalOf(refused)).toMatchObject({ reason: 'SESSION_NOT_FOUND' });
    expect(await told('worker_session', sessionOf(worker))).toHaveLength(4);
  });
});
