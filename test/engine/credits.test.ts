import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { leaseOf } from '../setup/raw-worker.ts';
import { acceptance, type EngineRig, startEngineRig, success } from './rig.ts';

let rig: EngineRig;
beforeAll(async () => {
  rig = await startEngineRig();
});
afterAll(() => rig.stop());

test('assigns no more than the slots of each type and of all types together', async () => {
  const [a, b] = [await rig.type(), await rig.type()];
  const slots = [a, b].map((taskType) => ({ taskType, slots: 2 }));
  for (const type of [a, b, a, b, a, b]) await rig.submit(type);
  const first = await rig.worker({ taskTypes: slots, slots: 3 });
  await first.assignments(3);
  // Whatever the first may not have goes to the second: once that has it, nothing more is to come.
  const second = await rig.worker({ taskTypes: [a, b].map((taskType) => ({ taskType, slots: 9 })), slots: 9 });
  await second.assignments(3);
  expect(first.assigned).toHaveLength(3);
  for (const type of [a, b]) {
    expect(first.assigned.filter((task) => task.taskType === type).length).toBeLessThanOrEqual(2);
  }
});

test('takes Demand as absolute: lowered, raised, repeated, and above the slots of Hello', async () => {
  const type = await rig.type();
  const worker = await rig.workerOf(type, 4);
  const demand = (credits: number) => worker.send({ case: 'demand', value: { credits } });
  const held = () => worker.assigned.length;

  for (const credits of [0, 2, 2, 2]) demand(credits);
  for (let n = 0; n < 12; n += 1) await rig.submit(type);
  const [first, second] = await worker.assignments(2);
  await witnessed(rig, 'the demand of two', async () => expect(held()).toBe(2));
  demand(2);
  demand(1_000);
  await worker.assignments(2);
  await witnessed(rig, 'the slots of Hello', async () => expect(held()).toBe(4));
  demand(3);
  worker.send(success(leaseOf(first)));
  await worker.settlements([leaseOf(first)]);
  await witnessed(rig, 'a lowered demand', async () => expect(held()).toBe(4));
  worker.send(success(leaseOf(second)));
  await worker.assignments(1);
  await witnessed(rig, 'the place that came free', async () => expect(held()).toBe(5));
});

test('bounds single types by Demand, and types that it leaves out keep theirs', async () => {
  const [a, b] = [await rig.type(), await rig.type()];
  const worker = await rig.worker({ taskTypes: [a, b].map((taskType) => ({ taskType, slots: 5 })), slots: 10 });
  worker.send({ case: 'demand', value: { credits: 10, taskTypes: [{ taskType: a, slots: 1 }] } });
  for (const type of [a, a, a, b, b]) await rig.submit(type);
  await worker.assignments(3);
  await witnessed(rig, 'the demand of one', async () => {
    expect(worker.assigned.filter((task) => task.taskType === a)).toHaveLength(1);
    expect(worker.assigned.filter((task) => task.taskType === b)).toHaveLength(2);
  });
});

test('stops assigning to a worker that drains, and takes its reports all the same', async () => {
  const type = await rig.type();
  const worker = await rig.workerOf(type);
  const id = await rig.submit(type);
  const [assignment] = await worker.assignments(1);
  worker.send({ case: 'draining', value: {} });
  worker.send(success(leaseOf(assignment)));
  await worker.settlements([leaseOf(assignment)]);
  const second = await rig.submit(type);
  await witnessed(rig, 'draining', async () => expect(worker.assigned).toHaveLength(1));
  expect(await rig.state(id)).toBe('SUCCEEDED');
  expect(await rig.state(second)).toBe('PENDING');
});

test('never exceeds the credits of sessions whatever they demand and report', async () => {
  const property = fc.asyncProperty(
    fc.array(fc.record({ total: fc.integer({ min: 0, max: 6 }), a: fc.integer({ min: 0, max: 6 }) }), {
      minLength: 1,
      maxLength: 5,
    }),
    async (demands) => {
      const [a, b] = [await rig.type(), await rig.type()];
      const worker = await rig.worker({ taskTypes: [a, b].map((taskType) => ({ taskType, slots: 4 })), slots: 5 });
      await Promise.all(Array.from({ length: 24 }, (_, n) => rig.submit(n % 2 === 0 ? a : b)));
      await worker.assignments(5);
      const held = new Map(worker.assigned.map((task) => [task.lease?.leaseId, task]));
      let seen = worker.assigned.length;
      let bound = { total: 5, a: 4 };
      for (const demand of demands) {
        worker.send({
          case: 'demand',
          value: { credits: demand.total, taskTypes: [{ taskType: a, slots: demand.a }] },
        });
        const next = { total: Math.min(5, demand.total), a: Math.min(4, demand.a) };
        const done = [...held.values()].slice(0, 2);
        if (done.length > 0) worker.send(success(...done.map(leaseOf)));
        await worker.settlements(done.map(leaseOf));
        for (const { lease } of done) held.delete(lease?.leaseId);
        for (const task of worker.assigned.slice(seen)) held.set(task.lease?.leaseId, task);
        seen = worker.assigned.length;
        // What is above a lowered demand was held before it.
        const doneOfA = done.filter((task) => task.taskType === a).length;
        bound = { total: Math.max(bound.total - done.length, next.total), a: Math.max(bound.a - doneOfA, next.a) };
        expect(held.size).toBeLessThanOrEqual(bound.total);
        expect([...held.values()].filter((task) => task.taskType === a).length).toBeLessThanOrEqual(bound.a);
      }
      worker.cut();
    },
  );
  await fc.assert(property, { numRuns: 8, ...seedOfEnvironment() });
}, 30_000);

test('places higher priority first, then what has waited longest, across types', async () => {
  const [a, b] = [await rig.type(), await rig.type()];
  const plan = [
    { type: a, priority: 4, label: 'd' },
    { type: b, priority: 4, label: 'e' },
    { type: a, priority: 0, label: 'g' },
    { type: b, priority: 9, label: 'a' },
    { type: a, priority: 9, label: 'b' },
    { type: a, priority: 4, label: 'f' },
    { type: b, priority: 7, label: 'c' },
    { type: b, priority: 0, label: 'h' },
  ];
  for (const { type, priority, label } of plan) await rig.submit(type, { priority, labels: { label } });
  const worker = await rig.worker({ taskTypes: [a, b].map((taskType) => ({ taskType, slots: 1 })), slots: 1 });
  let order = '';
  for (const _ of plan) {
    const [assignment] = await worker.assignments(1);
    order += assignment?.labels.label;
    const lease = leaseOf(assignment);
    worker.send(acceptance(lease));
    worker.send(success(lease));
  }
  expect(order).toBe('abcdefgh');
});

/** Runs a check once a worker of another type has been given a task: by then a claim has passed for everybody. */
async function witnessed(on: EngineRig, what: string, check: () => Promise<void>): Promise<void> {
  const type = await on.type();
  const witness = await on.workerOf(type, 2);
  for (let turn = 0; turn < 2; turn += 1) {
    await on.submit(type);
    await witness.assignments(1);
  }
  witness.cut();
  await check().catch((cause: unknown) => {
    throw new Error(`after ${what}`, { cause });
  });
}

function seedOfEnvironment(): { seed?: number } {
  return process.env.TEST_SEED === undefined ? {} : { seed: Number(process.env.TEST_SEED) };
}
