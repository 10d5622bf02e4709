import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestNode } from '../setup/coordinator.ts';
import { leaseOf } from '../setup/raw-worker.ts';
import { clientsOf, type EngineRig, startEngineRig, success, type WelcomedWorker } from './rig.ts';

let rig: EngineRig;
let addresses: readonly string[];
let producers: readonly ReturnType<typeof clientsOf>[];
beforeAll(async () => {
  rig = await startEngineRig();
  const others: readonly TestNode[] = [await rig.coordinator.startNode(), await rig.coordinator.startNode()];
  addresses = [rig.coordinator.grpcAddress, ...others.map((node) => node.grpcAddress)];
  const token = await rig.coordinator.token('operator');
  producers = addresses.map((address) => clientsOf(address, token));
});
afterAll(() => rig.stop());

/** A task that waits, as the test knows it. */
interface Waiting {
  readonly id: string;
  readonly priority: number;
  /** Of all tasks of this test, in the order in which they became due. */
  readonly place: number;
}

interface Backlog {
  /** One after the other, so that none is as old as another one. */
  readonly submit: (arrival: Arrival) => Promise<void>;
  readonly size: () => number;
  /** Takes out those that are to be given out next. */
  readonly first: (count: number) => string[];
}

function createBacklog(types: readonly string[]): Backlog {
  let waiting: Waiting[] = [];
  let place = 0;
  return {
    async submit({ priority, node }) {
      const type = types[place % types.length] ?? '';
      const { task } = (await producers[node]?.tasks.submitTask({ type, priority })) ?? {};
      waiting.push({ id: task?.id ?? '', priority, place });
      place += 1;
    },
    size: () => waiting.length,
    first(count) {
      waiting = waiting.toSorted((a, b) => b.priority - a.priority || a.place - b.place);
      return waiting.splice(0, count).map(({ id }) => id);
    },
  };
}

interface Arrival {
  readonly priority: number;
  readonly node: number;
}

const arrival = fc.record({ priority: fc.integer({ min: 0, max: 9 }), node: fc.nat({ max: 2 }) });
const seed = process.env.FC_SEED === undefined ? {} : { seed: Number(process.env.FC_SEED) };

/** Has a worker end what it holds, and with that ask for the next task. */
function finish(worker: WelcomedWorker): void {
  const held = worker.assigned.at(-1);
  if (held !== undefined) worker.send(success(leaseOf(held)));
}

/** The next task of each of them, in whatever order, are the first ones. */
async function expectFirst(workers: readonly WelcomedWorker[], backlog: Backlog): Promise<void> {
  const given = await Promise.all(workers.map((worker) => worker.assignments(1)));
  const ids = given.flat().map((assignment) => leaseOf(assignment).taskId);
  expect(ids.toSorted()).toEqual(backlog.first(workers.length).toSorted());
}

test('one worker at a time, on whichever node, is given the first of all that waits, of all its types', async () => {
  const steps = fc.array(fc.record({ node: fc.nat({ max: 2 }), arrivals: fc.array(arrival, { maxLength: 2 }) }), {
    minLength: 15,
    maxLength: 15,
  });
  const property = fc.asyncProperty(
    fc.array(arrival, { minLength: 15, maxLength: 15 }),
    steps,
    async (before, then) => {
      const types = [await rig.type(), await rig.type()];
      const backlog = createBacklog(types);
      for (const each of before) await backlog.submit(each);
      const workers: WelcomedWorker[] = [];
      const hello = { taskTypes: types.map((taskType) => ({ taskType, slots: 1 })), slots: 1 };
      const order: string[] = [];
      const expected: string[] = [];
      for (const { node, arrivals } of then) {
        // A worker that is there asks for the next one; the first time it comes with its room.
        const known = workers[node];
        if (known === undefined) workers[node] = await rig.worker(hello, { address: addresses[node] ?? '' });
        else finish(known);
        const [assignment] = (await workers[node]?.assignments(1)) ?? [];
        order.push(assignment === undefined ? 'nothing' : leaseOf(assignment).taskId);
        expected.push(...backlog.first(1));
        for (const each of arrivals) await backlog.submit(each);
      }
      for (const worker of workers) worker?.cut();
      expect(order).toEqual(expected);
    },
  );
  await fc.assert(property, { numRuns: 4, ...seed });
});

test('nodes that ask at the same time take the first of all that waits between them, also when it has just come', async () => {
  const rounds = fc.array(fc.array(arrival, { maxLength: 5 }), { minLength: 12, maxLength: 12 });
  const property = fc.asyncProperty(
    fc.array(arrival, { minLength: 12, maxLength: 12 }),
    rounds,
    async (before, then) => {
      const type = await rig.type();
      const backlog = createBacklog([type]);
      for (const each of before) await backlog.submit(each);
      const workers = await Promise.all(addresses.map((address) => rig.workerOf(type, 1, { address })));
      await expectFirst(workers, backlog);
      for (const arrivals of then) {
        for (const each of arrivals) await backlog.submit(each);
        if (backlog.size() < workers.length) break;
        for (const worker of workers) finish(worker);
        await expectFirst(workers, backlog);
      }
      for (const worker of workers) worker.cut();
    },
  );
  await fc.assert(property, { numRuns: 4, ...seed });
});

test('what another node has locked is passed over, and is the first again once it is let go', async () => {
  const type = await rig.type();
  const urgent = await rig.submit(type, { priority: 9 });
  const [next, last] = [await rig.submit(type, { priority: 5 }), await rig.submit(type, { priority: 4 })];
  const idOfNext = async (worker: WelcomedWorker) => leaseOf((await worker.assignments(1))[0]).taskId;
  const worker = await rig.sql.begin(async (sql) => {
    await sql`SELECT FROM task WHERE id = ${urgent} FOR UPDATE`;
    const worker = await rig.workerOf(type, 1);
    expect(await idOfNext(worker)).toBe(next);
    return worker;
  });
  finish(worker);
  expect(await idOfNext(worker)).toBe(urgent);
  expect(await rig.state(last)).toBe('PENDING');
});
