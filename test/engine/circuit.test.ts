import { CircuitMode, CircuitState, type CircuitStatus } from '@dstc/contract/dstc/v1/circuit_pb';
import { FailureKind } from '@dstc/contract/dstc/v1/task_pb';
import type { Assignment } from '@dstc/contract/dstc/v1/worker_pb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestNode } from '../setup/coordinator.ts';
import { leaseOf } from '../setup/raw-worker.ts';
import {
  acceptance,
  type EngineRig,
  failure,
  quickRetry,
  release,
  startEngineRig,
  success,
  type WelcomedWorker,
} from './rig.ts';

let rig: EngineRig;
let other: TestNode;
beforeAll(async () => {
  rig = await startEngineRig({ DSTC_LEASE_MS: '2000' });
  other = await rig.coordinator.startNode();
});
afterAll(() => rig.stop());

const fatal = { code: 'KEY_REVOKED', kind: FailureKind.FATAL };
/** Opens for a second when two of four attempts have failed. */
const breaker = { failureRatio: 0.5, attemptsMin: 4, openDuration: { seconds: 1n }, probes: 2 };

describe('a fatal failure', () => {
  test('opens the circuit of a type without a breaker at once, on all nodes', async () => {
    const type = await rig.type();
    const [here, there] = await workersOfBoth(type, 1);
    await submit(type, 4);
    const [[lease]] = await leasesOf([here, there], 1);
    if (lease === undefined) throw new Error('nothing was leased');
    here.send(failure(lease, fatal));
    await here.settlements([lease]);
    const { state, actor, reason, time, probeTime } = await circuitOf(type);
    expect(state).toBe(CircuitState.OPEN);
    expect([actor, reason]).toEqual(['system:circuit', 'an attempt failed fatally with KEY_REVOKED']);
    expect(Number(probeTime?.seconds) - Number(time?.seconds)).toBe(30);

    // The attempt of the other node goes on, and nothing comes after it.
    const going = leaseOf(there.assigned[0]);
    there.send(success(going));
    await there.settlements([going]);
    await claimsPassed();
    expect([here, there].map(({ assigned }) => assigned.length)).toEqual([1, 1]);
  });

  test('leaves other types alone, and a circuit that is forced closed', async () => {
    const [broken, forced] = [await rig.type(), await rig.type()];
    await set(forced, CircuitMode.FORCED_CLOSED);
    const worker = await rig.worker({
      taskTypes: [broken, forced].map((taskType) => ({ taskType, slots: 1 })),
      slots: 2,
    });
    for (const type of [broken, forced]) await submit(type, 2);
    for (const { lease } of await worker.assignments(2)) if (lease !== undefined) worker.send(failure(lease, fatal));
    // Of the one that is forced closed the next one comes; of the other one none.
    expect((await worker.assignments(1))[0]?.taskType).toBe(forced);
    expect(await circuitOf(broken)).toMatchObject({ state: CircuitState.OPEN });
    expect(await circuitOf(forced)).toMatchObject({ state: CircuitState.FORCED_CLOSED });
  });
});

describe('failures', () => {
  test('open the circuit by their share, counted over all nodes', async () => {
    const type = await rig.type({ circuitBreaker: breaker, retryPolicy: { attemptsMax: 1 } });
    await submit(type, 4);
    const workers = await workersOfBoth(type, 2);
    const [ofHere, ofThere] = await leasesOf(workers, 2);
    for (const [worker, [bad, good]] of [
      [workers[0], ofHere],
      [workers[1], ofThere],
    ] as const) {
      if (bad === undefined || good === undefined) throw new Error('too little was leased');
      worker.send(failure(bad));
      worker.send(success(good));
    }
    await becomes(type, { state: CircuitState.OPEN, reason: '2 of 4 attempts failed within 60 s' });
  });

  test('do not open it when they are too few, or permanent', async () => {
    const type = await rig.type({ circuitBreaker: breaker, retryPolicy: { attemptsMax: 1 } });
    await submit(type, 7);
    const worker = await rig.workerOf(type);
    const leases = (await worker.assignments(7)).map(leaseOf);
    const [transient, ...others] = leases;
    if (transient === undefined) throw new Error('nothing was leased');
    worker.send(failure(transient));
    for (const lease of others) worker.send(failure(lease, { code: 'BAD_INPUT', kind: FailureKind.PERMANENT }));
    await worker.settlements(leases);
    await becomes(type, { state: CircuitState.CLOSED, attempts: 7, failures: 1 });
  });

  test('of workers that are lost count, too', async () => {
    const type = await rig.type({ circuitBreaker: breaker });
    await submit(type, 4);
    const worker = await rig.workerOf(type);
    await started(worker, await worker.assignments(4));
    worker.cut();
    await becomes(type, { state: CircuitState.OPEN, reason: '4 of 4 attempts failed within 60 s' });
  });
});

describe('once its time is over', () => {
  test('no more probes run than there may, over all nodes, and their success closes the circuit', async () => {
    const type = await opened();
    const workers = await workersOfBoth(type, 8);
    await submit(type, 8);
    const probes = await probesOf(workers, 2);
    await claimsPassed();
    expect(await circuitOf(type)).toMatchObject({
      state: CircuitState.HALF_OPEN,
      probesRunning: 2,
      probesSucceeded: 0,
    });
    expect(assignedTo(workers)).toBe(2);

    const [first, second] = probes;
    await succeed(first);
    await becomes(type, { state: CircuitState.HALF_OPEN, probesRunning: 1, probesSucceeded: 1 });
    await claimsPassed();
    expect(assignedTo(workers)).toBe(2);

    await succeed(second);
    await expect.poll(() => assignedTo(workers), { timeout: 5_000 }).toBe(8);
    expect(await circuitOf(type)).toMatchObject({
      state: CircuitState.CLOSED,
      actor: 'system:circuit',
      reason: '2 of 2 probes succeeded',
    });
  });

  test('a probe that fails opens it again, for twice the time', async () => {
    const type = await opened();
    const workers = await workersOfBoth(type, 8);
    await submit(type, 2);
    const [probe] = await probesOf(workers, 2);
    if (probe === undefined) throw new Error('there is no probe');
    probe.worker.send(failure(probe.lease));
    await becomes(type, { state: CircuitState.OPEN, reason: `the probe ${probe.lease.taskId} failed` });
    const { time, probeTime } = await circuitOf(type);
    expect(Number(probeTime?.seconds) - Number(time?.seconds)).toBe(2);
  });

  test('a probe that is given back makes room for another one', async () => {
    const type = await opened();
    const workers = await workersOfBoth(type, 8);
    await submit(type, 1);
    const [probe] = await probesOf(workers, 1);
    if (probe === undefined) throw new Error('there is no probe');
    probe.worker.send(release(probe.lease));
    await probesOf(workers, 2);
    await becomes(type, { state: CircuitState.HALF_OPEN, probesRunning: 1, probesSucceeded: 0 });
  });

  test('a probe whose node and worker are killed counts as failed, and another node tries again', async () => {
    const type = await opened();
    const doomed = await rig.coordinator.startNode();
    const worker = await rig.workerOf(type, 2, { address: doomed.grpcAddress });
    await submit(type, 2);
    await started(worker, await worker.assignments(2, 8_000));
    await becomes(type, { state: CircuitState.HALF_OPEN, probesRunning: 2 });
    worker.cut();
    await doomed.stop();

    await becomes(type, { state: CircuitState.OPEN });
    expect((await circuitOf(type)).reason).toMatch(/^the probe \S+ failed$/);
    const next = await rig.workerOf(type, 2);
    await submit(type, 2);
    await started(next, await next.assignments(2, 8_000));
    await becomes(type, { state: CircuitState.HALF_OPEN, probesRunning: 2 });
    for (const assignment of next.assigned) await succeed({ worker: next, lease: leaseOf(assignment) });
    await becomes(type, { state: CircuitState.CLOSED });
  });
});

describe('by hand', () => {
  test('an open circuit holds everything until it is left to its breaker', async () => {
    const type = await rig.type();
    const workers = await workersOfBoth(type, 2);
    await set(type, CircuitMode.FORCED_OPEN, 'the provider is away');
    await submit(type, 4);
    await claimsPassed();
    expect(assignedTo(workers)).toBe(0);
    expect(await circuitOf(type)).toMatchObject({
      state: CircuitState.FORCED_OPEN,
      actor: expect.stringContaining('operator'),
      reason: 'the provider is away',
    });
    await set(type, CircuitMode.AUTOMATIC);
    await expect.poll(() => assignedTo(workers), { timeout: 5_000 }).toBe(4);
    expect(await circuitOf(type)).toMatchObject({ state: CircuitState.CLOSED, attempts: 0 });
  });

  test('an open circuit closes at once when the cause is gone', async () => {
    const type = await opened({ ...breaker, openDuration: { seconds: 3600n } });
    const workers = await workersOfBoth(type, 8);
    await submit(type, 4);
    await set(type, CircuitMode.AUTOMATIC, 'mended');
    await expect.poll(() => assignedTo(workers), { timeout: 5_000 }).toBe(4);
    expect(await circuitOf(type)).toMatchObject({ state: CircuitState.CLOSED, reason: 'mended' });
  });
});

/** A type whose circuit has just opened, without a task that is not done. */
async function opened(by: object = breaker): Promise<string> {
  const type = await rig.type({ circuitBreaker: by, retryPolicy: { ...quickRetry, attemptsMax: 1 } });
  await submit(type, 1);
  const worker = await rig.workerOf(type, 1);
  const lease = leaseOf((await worker.assignments(1))[0]);
  worker.send(failure(lease, fatal));
  await worker.settlements([lease]);
  worker.cut();
  expect(await circuitOf(type)).toMatchObject({ state: CircuitState.OPEN });
  return type;
}

type Both = readonly [WelcomedWorker, WelcomedWorker];

async function workersOfBoth(type: string, slots: number): Promise<Both> {
  const [here, there] = [rig.coordinator, other].map(({ grpcAddress: address }) =>
    rig.workerOf(type, slots, { address }),
  );
  if (here === undefined || there === undefined) throw new Error('two nodes make two workers');
  return [await here, await there];
}

async function submit(type: string, count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) await rig.submit(type);
}

async function leasesOf([here, there]: Both, each: number) {
  return [
    (await here.assignments(each)).map(leaseOf),
    // Nothing tells the other node but its poll.
    (await there.assignments(each)).map(leaseOf),
  ] as const;
}

/** Accepts, and waits until it is written: a lease that was not accepted is given back when its worker is gone. */
async function started(worker: WelcomedWorker, assignments: readonly Assignment[]): Promise<void> {
  const leases = assignments.map(leaseOf);
  worker.send(acceptance(...leases));
  for (const { taskId } of leases) await expect.poll(() => rig.kinds(taskId)).toContain('STARTED');
}

/** The first tasks that any of the workers was given, accepted, once there are so many. */
async function probesOf(workers: Both, count: number) {
  await expect.poll(() => assignedTo(workers), { timeout: 8_000 }).toBe(count);
  const probes = workers.flatMap((worker) => worker.assigned.map((task) => ({ worker, lease: leaseOf(task) })));
  for (const { worker, lease } of probes) worker.send(acceptance(lease));
  return probes;
}

async function succeed(probe: Awaited<ReturnType<typeof probesOf>>[number] | undefined): Promise<void> {
  if (probe === undefined) throw new Error('there is no probe');
  probe.worker.send(success(probe.lease));
  await probe.worker.settlements([probe.lease]);
}

function assignedTo(workers: Both): number {
  return workers.reduce((sum, { assigned }) => sum + assigned.length, 0);
}

async function set(name: string, mode: CircuitMode, reason = ''): Promise<void> {
  await rig.types.setTaskTypeCircuit({ name, mode, reason });
}

async function circuitOf(name: string): Promise<CircuitStatus> {
  const { taskType } = await rig.types.getTaskType({ name });
  if (taskType?.status?.circuit === undefined) throw new Error(`${name} has no circuit`);
  return taskType.status.circuit;
}

async function becomes(name: string, expected: Partial<CircuitStatus>): Promise<void> {
  await expect.poll(() => circuitOf(name), { timeout: 8_000 }).toMatchObject(expected);
}

/** Resolves when both nodes have claimed anew. */
async function claimsPassed(): Promise<void> {
  const type = await rig.type();
  for (const { grpcAddress: address } of [rig.coordinator, other]) {
    const witness = await rig.workerOf(type, 1, { address });
    await rig.submit(type);
    const lease = leaseOf((await witness.assignments(1))[0]);
    witness.send(success(lease));
    await witness.settlements([lease]);
    witness.cut();
  }
}
