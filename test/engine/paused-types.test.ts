import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestNode } from '../setup/coordinator.ts';
import { leaseOf, outcomeOf } from '../setup/raw-worker.ts';
import { clientsOf, type EngineRig, startEngineRig, success, type WelcomedWorker } from './rig.ts';

let rig: EngineRig;
let other: TestNode;
/** The operator's clients of both nodes. */
let clients: ReturnType<typeof clientsOf>[];
beforeAll(async () => {
  rig = await startEngineRig();
  other = await rig.coordinator.startNode();
  const token = await rig.coordinator.token('operator');
  clients = [rig.coordinator, other].map(({ grpcAddress }) => clientsOf(grpcAddress, token));
});
afterAll(() => rig.stop());

/** Each way to hold up one type, and to let it go. */
const ways = {
  'its type': {
    pause: (name: string) => rig.types.pauseTaskType({ name, reason: 'bad release' }),
    resume: (name: string) => rig.types.resumeTaskType({ name }),
  },
  'its namespace': {
    pause: () => rig.namespaces.pauseNamespace({ reason: 'move of the database' }),
    resume: () => rig.namespaces.resumeNamespace({}),
  },
};

describe.each(Object.entries(ways))('while %s is paused', (_, way) => {
  test('workers of no node get its tasks, and all of them as soon as it goes on', async () => {
    const type = await rig.type();
    const workers = await workersOfBoth(type);
    await way.pause(type);
    const ids = await submitToBoth(type);
    await claimsPassed();
    expect(workers.flatMap(({ assigned }) => assigned)).toEqual([]);
    for (const id of ids) expect(await rig.kinds(id)).toEqual(['SUBMITTED']);

    await way.resume(type);
    // Nothing is due on the second node but what the poll finds there.
    const assigned = await Promise.all(workers.map((worker) => worker.assignments(2)));
    expect(
      assigned
        .flat()
        .map(({ lease }) => lease?.taskId)
        .toSorted(),
    ).toEqual(ids.toSorted());
  });

  test('attempts that run go on', async () => {
    const type = await rig.type();
    const id = await rig.submit(type);
    const worker = await rig.workerOf(type);
    const lease = leaseOf((await worker.assignments(1))[0]);
    await way.pause(type);
    worker.send(success(lease));
    expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
    expect(await rig.state(id)).toBe('SUCCEEDED');
    await way.resume(type);
  });

  test('a worker without a stream gets none of its tasks', async () => {
    const type = await rig.type();
    await way.pause(type);
    await rig.submit(type);
    for (const { workers } of clients) {
      expect((await workers.leaseTasks({ taskTypes: [type] })).assignments).toEqual([]);
    }
    const waiting = rig.workers.leaseTasks({ taskTypes: [type], wait: { seconds: 20n } });
    await claimsPassed();
    await way.resume(type);
    expect((await waiting).assignments).toHaveLength(1);
  });
});

test('a pause of one type leaves the others alone', async () => {
  const [paused, free] = [await rig.type(), await rig.type()];
  await rig.types.pauseTaskType({ name: paused });
  const slots = [paused, free].map((taskType) => ({ taskType, slots: 5 }));
  const worker = await rig.worker({ taskTypes: slots, slots: 10 });
  for (const type of [paused, free, paused, free]) await rig.submit(type);
  expect((await worker.assignments(2)).map(({ taskType }) => taskType)).toEqual([free, free]);
  await rig.types.resumeTaskType({ name: paused });
  expect((await worker.assignments(2)).map(({ taskType }) => taskType)).toEqual([paused, paused]);
});

test('a pause of one namespace leaves the others alone', async () => {
  const namespace = 'elsewhere';
  const type = await rig.type({ namespace });
  const worker = await rig.workers.leaseTasks({ namespace, taskTypes: [type] });
  expect(worker.assignments).toEqual([]);
  await rig.namespaces.pauseNamespace({});
  await rig.submit(type, { namespace });
  const leased = await rig.workers.leaseTasks({ namespace, taskTypes: [type], wait: { seconds: 5n } });
  expect(leased.assignments).toHaveLength(1);
  await rig.namespaces.resumeNamespace({});
});

test('a type that is paused itself stays so when its namespace goes on', async () => {
  const type = await rig.type();
  const worker = await rig.workerOf(type);
  await rig.types.pauseTaskType({ name: type });
  await rig.namespaces.pauseNamespace({});
  const id = await rig.submit(type);
  await rig.namespaces.resumeNamespace({});
  await claimsPassed();
  expect(await rig.kinds(id)).toEqual(['SUBMITTED']);
  await rig.types.resumeTaskType({ name: type });
  await worker.assignments(1);
});

function workersOfBoth(type: string): Promise<WelcomedWorker[]> {
  return Promise.all([rig.coordinator, other].map(({ grpcAddress: address }) => rig.workerOf(type, 2, { address })));
}

/** Two tasks at each node. */
async function submitToBoth(type: string): Promise<string[]> {
  const submitted = [...clients, ...clients].map(({ tasks }) => tasks.submitTask({ type }));
  return (await Promise.all(submitted)).map(({ task }) => task?.id ?? '');
}

/**
 * Resolves when both nodes have claimed anew: a worker of another type and namespace was given two tasks, one after the
 * other. The namespace may be paused itself.
 */
async function claimsPassed(): Promise<void> {
  const namespace = 'witness';
  const type = await rig.type({ namespace });
  const operator = await rig.coordinator.token('operator');
  for (const { grpcAddress: address } of [rig.coordinator, other]) {
    const hello = { namespace, taskTypes: [{ taskType: type, slots: 2 }], slots: 2 };
    const witness = await rig.worker(hello, { address, token: operator });
    for (let turn = 0; turn < 2; turn += 1) {
      await rig.submit(type, { namespace });
      await witness.assignments(1);
    }
    witness.cut();
  }
}
