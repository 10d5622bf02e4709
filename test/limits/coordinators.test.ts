import { afterAll, beforeAll, expect, test } from 'vitest';
import { refusalOf } from '../doors/rig.ts';
import { clientsOf, type EngineRig, startEngineRig, success, type WelcomedWorker } from '../engine/rig.ts';
import type { TestNode } from '../setup/coordinator.ts';
import { leaseOf } from '../setup/raw-worker.ts';

let rig: EngineRig;
let nodes: TestNode[];
let token: string;
beforeAll(async () => {
  rig = await startEngineRig();
  nodes = [await rig.coordinator.startNode(), await rig.coordinator.startNode()];
  token = await rig.coordinator.token('worker');
});
afterAll(() => rig.stop());

const workerOn = (address: string, type: string, slots = 10) => rig.workerOf(type, slots, { address });
const submitMany = (type: string, count: number, labels: (at: number) => Record<string, string> = () => ({})) =>
  rig.tasks.submitTasks({ requests: Array.from({ length: count }, (_, at) => ({ type, labels: labels(at) })) });

/** Ends each assignment of a worker as soon as it comes, until told to stop. */
function finishing(worker: WelcomedWorker, onDone: () => void): void {
  void (async () => {
    for (;;) {
      const [assignment] = await worker.assignments(1, 60_000);
      const lease = leaseOf(assignment);
      worker.send(success(lease));
      await worker.settlements([lease], 60_000);
      onDone();
    }
  })().catch(() => undefined);
}

test('never runs more than may on three coordinators, and gets to the end', async () => {
  const type = await rig.type({ limits: { concurrencyMax: 3 } });
  const total = 60;
  await submitMany(type, total);
  const ended = Promise.withResolvers<void>();
  let done = 0;
  const addresses = [rig.coordinator.grpcAddress, ...nodes.map((node) => node.grpcAddress)];
  for (const address of addresses) {
    finishing(await workerOn(address, type), () => {
      done += 1;
      if (done === total) ended.resolve();
    });
  }
  let isOver = false;
  void ended.promise.then(() => {
    isOver = true;
  });
  const samples: number[] = [];
  while (!isOver) {
    const [row] = await rig.sql<{ count: number }[]>`
      SELECT count(*)::int AS count FROM task WHERE type = ${type} AND state = 'RUNNING'`;
    samples.push(row?.count ?? 0);
  }
  expect(Math.max(...samples)).toBeLessThanOrEqual(3);
  expect(Math.max(...samples)).toBeGreaterThan(0);
}, 60_000);

test('gives the room of a lease that ends at once to who waits on the same node', async () => {
  const type = await rig.type({ limits: { concurrencyMax: 1 } });
  await submitMany(type, 3);
  const [worker, other] = [await rig.workerOf(type), await rig.workerOf(type)];
  const [first] = await Promise.race([worker.assignments(1), other.assignments(1)]);
  await rig.tasks.cancelTask({ id: leaseOf(first).taskId, grace: {} });
  // The worker does not answer: the lease is revoked by a sweep, and its room is taken with that.
  await expect.poll(() => worker.assigned.length + other.assigned.length, { timeout: 10_000 }).toBe(2);
});

test('wakes every node when a limit is raised', async () => {
  const type = await rig.type({ limits: { concurrencyMax: 1 } });
  await submitMany(type, 4);
  const workers = await Promise.all(nodes.map((node) => workerOn(node.grpcAddress, type, 1)));
  const assigned = () => workers.reduce((sum, worker) => sum + worker.assigned.length, 0);
  await expect.poll(assigned, { timeout: 10_000 }).toBe(1);
  await rig.types.applyTaskType({ taskType: { name: type, limits: { concurrencyMax: 2 } } });
  await expect.poll(assigned, { timeout: 10_000 }).toBe(2);
  await rig.types.applyTaskType({ taskType: { name: type } });
  const more = await rig.workerOf(type, 2);
  await more.assignments(2, 10_000);
});

test('keeps a unary worker to the limits, and frees what it reports', async () => {
  const type = await rig.type({
    limits: { key: { source: { case: 'label', value: 'tenant' } }, concurrencyPerKeyMax: 1 },
  });
  await submitMany(type, 4, (at) => ({ tenant: at % 2 === 0 ? 'even' : 'odd' }));
  const elsewhere = clientsOf(nodes[0]?.grpcAddress ?? '', token).workers;
  const first = await elsewhere.leaseTasks({ taskTypes: [type], tasksMax: 10 });
  expect(first.assignments.map(({ labels }) => labels.tenant).toSorted()).toEqual(['even', 'odd']);
  expect((await rig.workers.leaseTasks({ taskTypes: [type], tasksMax: 10 })).assignments).toEqual([]);
  const session = { sessionId: first.session?.sessionId ?? '', resumeSecret: first.session?.resumeSecret ?? '' };
  // Waits on the node that hears the report: the room wakes it.
  const waiting = elsewhere.leaseTasks({ taskTypes: [type], wait: { seconds: 20n } });
  await elsewhere.reportTasks({ session, succeeded: { items: [{ lease: leaseOf(first.assignments[0]) }] } });
  expect((await waiting).assignments).toHaveLength(1);
});

test('gives the room of a node that is gone back with its leases', async () => {
  const type = await rig.type({ limits: { concurrencyMax: 1 } });
  const ids = [await rig.submit(type), await rig.submit(type)];
  const lost = await rig.coordinator.startNode({ DSTC_LEASE_MS: '1500' });
  const worker = await workerOn(lost.grpcAddress, type, 1);
  await worker.assignments(1);
  worker.cut();
  await lost.stop();
  const other = await workerOn(nodes[0]?.grpcAddress ?? '', type, 1);
  const [again] = await other.assignments(1, 20_000);
  expect(ids).toContain(leaseOf(again).taskId);
});

test('leases as tokens come, without waiting for the poll', async () => {
  const type = await rig.type({ limits: { rate: { tasks: 20, burst: 1 } } });
  const worker = await rig.workerOf(type, 10);
  await submitMany(type, 6);
  await worker.assignments(6, 20_000);
  const rows = await rig.sql<{ ms: number }[]>`
    SELECT extract(epoch FROM time)::float8 * 1000 AS ms FROM task_event WHERE type = ${type} AND kind = 'leased' ORDER BY 1`;
  const [first = 0, last = 0] = [rows[0]?.ms, rows.at(-1)?.ms];
  // Five tokens of 50 ms, but for the time between the beginnings of two claims.
  expect(last - first).toBeGreaterThan(150);
});

test('refuses what would wait beyond the limit, says so, and takes more when there is room', async () => {
  const type = await rig.type({ limits: { queueMax: 3 } });
  await rig.submit(type);
  const blocked = await rig.submit(type, {
    dependencies: [{ task: { case: 'taskId', value: await rig.submit(type) } }],
  });
  expect(await rig.state(blocked)).toBe('BLOCKED');
  expect(await refusalOf(rig.tasks.submitTask({ type }))).toMatchObject({
    code: 'ResourceExhausted',
    reason: 'QUEUE_FULL',
    metadata: { task_type: type, limit: '3' },
  });
  const { results } = await submitMany(type, 2);
  expect(results.map(({ result }) => result.case)).toEqual(['error', 'error']);
  const elsewhere = clientsOf(nodes[0]?.grpcAddress ?? '', await rig.coordinator.token('operator')).tasks;
  expect(await refusalOf(elsewhere.submitTask({ type }))).toMatchObject({ reason: 'QUEUE_FULL' });
  await rig.workers.leaseTasks({ taskTypes: [type], tasksMax: 1 });
  await expect
    .poll(
      () =>
        rig.tasks.submitTask({ type }).then(
          () => 'taken',
          () => 'refused',
        ),
      { timeout: 10_000 },
    )
    .toBe('taken');
});

test('answers the repeat of a submission with its task, however full the queue is', async () => {
  const type = await rig.type({ limits: { queueMax: 2 } });
  const first = await rig.tasks.submitTask({ type, idempotencyKey: `${type}-once` });
  await rig.submit(type);
  const again = await rig.tasks.submitTask({ type, idempotencyKey: `${type}-once` });
  expect([again.alreadyExisted, again.task?.id]).toEqual([true, first.task?.id]);
  expect(await refusalOf(rig.tasks.submitTask({ type, idempotencyKey: `${type}-new` }))).toMatchObject({
    reason: 'QUEUE_FULL',
  });
});

test('lets no more into a queue than may wait when many come at once', async () => {
  const type = await rig.type({ limits: { queueMax: 50 } });
  const outcomes = await Promise.allSettled(Array.from({ length: 200 }, () => rig.submit(type)));
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(50);
});

test('lets in as many as may wait on two nodes together, and then nothing on either', async () => {
  const type = await rig.type({ limits: { queueMax: 20 } });
  const token = await rig.coordinator.token('operator');
  const both = [rig.tasks, clientsOf(nodes[0]?.grpcAddress ?? '', token).tasks];
  const flood = () => {
    const calls = both.flatMap((tasks) => Array.from({ length: 60 }, () => tasks.submitTask({ type })));
    return Promise.allSettled(calls);
  };
  const accepted = (await flood()).filter(({ status }) => status === 'fulfilled').length;
  expect(accepted).toBeLessThanOrEqual(20);
  const waiting = async () => (await rig.sql`SELECT FROM task WHERE type = ${type}`).length;
  expect(await waiting()).toBe(accepted);
  await expect.poll(() => flood().then(waiting), { timeout: 10_000 }).toBe(20);
  for (const tasks of both) expect(await refusalOf(tasks.submitTask({ type }))).toMatchObject({ reason: 'QUEUE_FULL' });
});

test('gives back the places that a coordinator has reserved when it ends', async () => {
  const type = await rig.type({ limits: { queueMax: 100 } });
  const ending = await rig.coordinator.startNode();
  const { tasks } = clientsOf(ending.grpcAddress, await rig.coordinator.token('operator'));
  await tasks.submitTasks({ requests: Array.from({ length: 10 }, () => ({ type })) });
  await tasks.submitTask({ type });
  const reserved = async () => (await rig.sql`SELECT FROM queue_reservation WHERE type = ${type}`).length;
  expect(await reserved()).toBeGreaterThan(0);
  await ending.drain();
  expect(await reserved()).toBe(0);
});

test('shows the key of a task', async () => {
  const type = await rig.type({ limits: { key: { source: { case: 'inputPointer', value: '/customer/id' } } } });
  const data = Buffer.from(JSON.stringify({ customer: { id: 42 } }));
  const { task } = await rig.tasks.submitTask({ type, input: { value: { case: 'data', value: data } } });
  expect(task?.limitKey).toBe('42');
  expect((await rig.tasks.getTask({ id: task?.id ?? '' })).task?.limitKey).toBe('42');
});
