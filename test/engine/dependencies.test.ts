import type { MessageInitShape } from '@bufbuild/protobuf';
import { DependencyPolicy, FailureKind, TaskState } from '@dstc/contract/dstc/v1/task_pb';
import type { TaskDependencySchema } from '@dstc/contract/dstc/v1/task_service_pb';
import type { LeaseRef } from '@dstc/contract/dstc/v1/worker_pb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EngineRig, failure, startEngineRig, success, type WelcomedWorker } from './rig.ts';

let rig: EngineRig;
beforeAll(async () => {
  rig = await startEngineRig();
});
afterAll(() => rig.stop());

/** Dependencies on tasks that are there. */
function on(ids: readonly string[], onFailure = DependencyPolicy.UNSPECIFIED) {
  return ids.map(
    (value): MessageInitShape<typeof TaskDependencySchema> => ({
      task: { case: 'taskId', value },
      onFailure,
    }),
  );
}

async function leaseOf(worker: WelcomedWorker, taskId: string): Promise<LeaseRef> {
  const [assignment] = await worker.assignments(1);
  expect(assignment?.lease?.taskId).toBe(taskId);
  if (assignment?.lease === undefined) throw new Error('an assignment without a lease');
  return assignment.lease;
}

/** Ends a task of a type of its own. */
async function ended(state: 'SUCCEEDED' | 'FAILED' | 'CANCELLED'): Promise<string> {
  const type = await rig.type();
  const id = await rig.submit(type);
  await end(type, id, state);
  return id;
}

async function end(type: string, id: string, state: 'SUCCEEDED' | 'FAILED' | 'CANCELLED'): Promise<void> {
  if (state === 'CANCELLED') {
    await rig.tasks.cancelTask({ id });
    return;
  }
  const worker = await rig.workerOf(type, 1);
  const lease = await leaseOf(worker, id);
  worker.send(state === 'SUCCEEDED' ? success(lease) : failure(lease, { kind: FailureKind.PERMANENT }));
  expect(await rig.end(id)).toBe(state);
  worker.cut();
}

/** Waits until a task is in a state that it does not leave by itself. */
async function reached(id: string, state: keyof typeof TaskState): Promise<void> {
  for await (const { task } of rig.tasks.watchTasks({ ids: [id] }, { timeoutMs: 10_000 })) {
    if (task?.state === TaskState[state]) return;
  }
  throw new Error(`${id} has ended in another state than ${state}`);
}

async function dependenciesOf(id: string) {
  const { task } = await rig.tasks.getTask({ id });
  return task?.dependencies.map((d) => [d.taskId, TaskState[d.state], d.waiting]) ?? [];
}

test('a task runs after the one that it depends on', async () => {
  const type = await rig.type();
  const first = await rig.submit(type);
  const second = await rig.submit(type, { dependencies: on([first]) });
  expect(await rig.state(second)).toBe('BLOCKED');
  expect(await dependenciesOf(second)).toEqual([[first, 'PENDING', true]]);

  const worker = await rig.workerOf(type);
  worker.send(success(await leaseOf(worker, first)));
  const lease = await leaseOf(worker, second);
  expect(await dependenciesOf(second)).toEqual([[first, 'SUCCEEDED', false]]);
  worker.send(success(lease));
  expect(await rig.end(second)).toBe('SUCCEEDED');
  expect(await rig.kinds(second)).toEqual(['SUBMITTED', 'UNBLOCKED', 'LEASED', 'STARTED', 'SUCCEEDED']);
});

test('an assignment says how many tasks it depends on', async () => {
  const type = await rig.type();
  const dependencies = on([await ended('SUCCEEDED'), await ended('SUCCEEDED')]);
  await rig.submit(type, { dependencies });
  const [assignment] = await (await rig.workerOf(type)).assignments(1);
  expect(assignment?.dependencyCount).toBe(2);
});

test('a task waits for the last of many', async () => {
  const [early, late, type] = [await rig.type(), await rig.type(), await rig.type()];
  const firsts = [await rig.submit(early), await rig.submit(early)];
  const last = await rig.submit(late);
  const dependent = await rig.submit(type, { dependencies: on([...firsts, last]) });
  const worker = await rig.workerOf(early);
  for (const { lease } of await worker.assignments(2)) if (lease) worker.send(success(lease));
  await Promise.all(firsts.map((id) => rig.end(id)));
  expect(await rig.state(dependent)).toBe('BLOCKED');
  await end(late, last, 'SUCCEEDED');
  await reached(dependent, 'PENDING');
});

test('a diamond runs from its top to its bottom', async () => {
  const type = await rig.type();
  const top = await rig.submit(type);
  const left = await rig.submit(type, { dependencies: on([top]) });
  const right = await rig.submit(type, { dependencies: on([top]) });
  const bottom = await rig.submit(type, { dependencies: on([left, right]) });
  const worker = await rig.workerOf(type);
  worker.send(success(await leaseOf(worker, top)));
  const middle = await worker.assignments(2);
  expect(middle.map(({ lease }) => lease?.taskId).sort()).toEqual([left, right].sort());
  for (const { lease } of middle) if (lease) worker.send(success(lease));
  worker.send(success(await leaseOf(worker, bottom)));
  expect(await rig.end(bottom)).toBe('SUCCEEDED');
});

test.each([
  ['SUCCEEDED', 'CANCEL', 'PENDING'],
  ['SUCCEEDED', 'CONTINUE', 'PENDING'],
  ['SUCCEEDED', 'BLOCK', 'PENDING'],
  ['FAILED', 'UNSPECIFIED', 'CANCELLED'],
  ['FAILED', 'CANCEL', 'CANCELLED'],
  ['FAILED', 'CONTINUE', 'PENDING'],
  ['FAILED', 'BLOCK', 'BLOCKED'],
  ['CANCELLED', 'CANCEL', 'CANCELLED'],
  ['CANCELLED', 'CONTINUE', 'PENDING'],
  ['CANCELLED', 'BLOCK', 'BLOCKED'],
] as const)(
  'when what it depends on is %s, the policy %s makes it %s, also when that was before',
  async (how, policy, to) => {
    const [type, dependentType] = [await rig.type(), await rig.type()];
    const first = await rig.submit(type);
    const before = await rig.submit(dependentType, { dependencies: on([first], DependencyPolicy[policy]) });
    await end(type, first, how);
    const after = await rig.submit(dependentType, { dependencies: on([first], DependencyPolicy[policy]) });
    expect(await rig.state(after)).toBe(to);
    await reached(before, to);
    if (to === 'CANCELLED') {
      for (const id of [before, after]) {
        const { events } = await rig.tasks.listTaskEvents({ taskId: id });
        expect(events.map(({ actor, reason }) => [actor, reason]).at(-1)).toEqual([
          'system:dependencies',
          `it depends on task ${first}, which is ${how}`,
        ]);
      }
    }
  },
);

test('a cancel goes down a chain', async () => {
  const type = await rig.type();
  const chain = [await rig.submit(type)];
  for (let length = 1; length < 20; length += 1) {
    chain.push(await rig.submit(type, { dependencies: on(chain.slice(-1)) }));
  }
  await rig.tasks.cancelTask({ id: chain[0] ?? '' });
  expect(await Promise.all(chain.map((id) => rig.end(id)))).toEqual(chain.map(() => 'CANCELLED'));
});

test('a blocked task can be cancelled, and what depends on it with it', async () => {
  const type = await rig.type();
  const first = await rig.submit(type);
  const second = await rig.submit(type, { dependencies: on([first]) });
  const third = await rig.submit(type, { dependencies: on([second]) });
  await rig.tasks.cancelTask({ id: second });
  expect(await rig.end(third)).toBe('CANCELLED');
  await end(type, first, 'SUCCEEDED');
  expect(await rig.state(second)).toBe('CANCELLED');
});

test('a blocked task fails at its total deadline', async () => {
  const type = await rig.type();
  const first = await rig.submit(type);
  const dependencies = on([first]);
  const second = await rig.submit(type, { dependencies, deadlines: { total: { nanos: 300_000_000 } } });
  expect(await rig.end(second)).toBe('FAILED');
});

test('a start deadline begins when the task is blocked no more', async () => {
  const type = await rig.type();
  const first = await rig.submit(type);
  const second = await rig.submit(await rig.type(), {
    dependencies: on([first]),
    deadlines: { start: { seconds: 1n } },
  });
  expect((await rig.stored(second)).row.startDeadline).toBeNull();
  await end(type, first, 'SUCCEEDED');
  expect(await rig.end(second)).toBe('FAILED');
  const { row, events } = await rig.stored(second);
  expect(row.error?.code).toBe('START_DEADLINE_EXCEEDED');
  const unblocked = events.find(({ kind }) => kind === 'unblocked');
  expect(Number(row.finishedTime) - Number(unblocked?.time)).toBeGreaterThanOrEqual(1_000);
});

test('a delay counts from the submission, and longer than the block where it is longer', async () => {
  const type = await rig.type();
  const first = await rig.submit(type);
  const second = await rig.submit(await rig.type(), { dependencies: on([first]), delay: { seconds: 3_600n } });
  const { row } = await rig.stored(second);
  await end(type, first, 'SUCCEEDED');
  await reached(second, 'PENDING');
  expect((await rig.stored(second)).row.availableTime).toEqual(row.availableTime);
});
