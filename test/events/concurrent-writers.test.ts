import { randomUUID } from 'node:crypto';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { leasePendingTasks } from '../../server/store/lease-tasks.ts';
import { insertSession, newTask } from '../store/rows.ts';
import { createRandom } from '../storm/random.ts';
import { type EventRig, startEventRig } from './rig.ts';
import { type EventDoor, keyOf, type Subscriber } from './subscriber.ts';

const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const random = createRandom(seed);
const writers = 5;
const transactionsEach = 25;
/** A node that has just started may tell of its policy at any moment. */
const filter = { types: ['dstc.task.*'] };

let rig: EventRig;
beforeAll(async () => {
  rig = await startEventRig();
});
afterAll(() => rig.stop());

test('while transactions commit in any order, every subscriber sees each event once, in the same order', async () => {
  const beganAt = new Date(Date.now() - 1_000);
  const node = await rig.coordinator.startNode();
  const doors: readonly EventDoor[] = ['gRPC', 'HTTP/JSON'];
  const live = await Promise.all(doors.map((door) => rig.subscribe({ door, request: { filter } })));
  const elsewhere = await Promise.all(doors.map((door) => rig.subscribe({ door, node, request: { filter } })));
  const hopping = await rig.subscribe({ request: { filter } });
  const writing = write().then(rig.stored);
  const hopped = hop(
    hopping,
    writing.then((keys) => keys.length),
  );
  const stored = await writing;
  const context = `TEST_SEED=${seed}`;
  for (const subscriber of [...live, ...elsewhere]) {
    expect((await subscriber.events(stored.length)).map(keyOf), context).toEqual(stored);
  }
  expect(await hopped, context).toEqual(stored);
  const start = { case: 'startTime' as const, value: timestampFromDate(beganAt) };
  const afterwards = await rig.subscribe({ request: { start, filter } });
  expect((await afterwards.untilCaughtUp()).map(keyOf), context).toEqual(stored);
});

/** Submits and leases in transactions that stay open until others have committed, and answers with all tasks. */
async function write(): Promise<string[]> {
  const sessionId = await insertSession(rig.sql);
  const ids: string[] = [];
  const unleased: string[] = [];
  const late = createLateness();

  async function writer(): Promise<void> {
    for (let count = 0; count < transactionsEach; count += 1) {
      const [tasks, leases, others] = [random.between(0, 4), random.between(0, 3), random.between(0, writers)];
      const taken = unleased.splice(0, leases);
      const made = await rig.database.transaction(async (sql) => {
        // From here on the transaction has its place in the order.
        await sql`SELECT pg_current_xact_id()`;
        const inserted = await insertTasks(sql, Array(Math.ceil(tasks)).fill({ ...newTask, type: 'a.plain' }));
        const wanted = taken.map((taskId) => ({
          taskId,
          leaseId: randomUUID(),
          sessionId,
          actor: 'test',
          counted: false,
        }));
        if (wanted.length > 0) await leasePendingTasks(sql, wanted);
        await late.until(Math.floor(others));
        return inserted.map(({ id }) => id);
      });
      late.committed();
      ids.push(...made);
      unleased.push(...made);
    }
  }
  await Promise.all(Array.from({ length: writers }, () => writer().finally(late.left)));
  return ids;
}

/** Lets transactions wait for the commits of others; when all wait, the one that came last goes on. */
function createLateness() {
  let active = writers;
  const waiting: { others: number; readonly resolve: () => void }[] = [];
  function release(): void {
    for (const wait of waiting.filter(({ others }) => others <= 0)) {
      waiting.splice(waiting.indexOf(wait), 1);
      wait.resolve();
    }
    if (waiting.length === active) waiting.pop()?.resolve();
  }
  return {
    until(others: number): Promise<void> {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push({ others, resolve });
      release();
      return promise;
    },
    committed() {
      for (const wait of waiting) wait.others -= 1;
      release();
    },
    left() {
      active -= 1;
      release();
    },
  };
}

/** Subscribes anew after every few events, until it has seen as many as there are in the end. */
async function hop(first: Subscriber, total: Promise<number>): Promise<string[]> {
  const keys: string[] = [];
  let count = Number.POSITIVE_INFINITY;
  void total.then((known) => {
    count = known;
  });
  for (let subscriber = first; keys.length < count; ) {
    const events = await subscriber.more();
    keys.push(...events.map(keyOf));
    if (events.length === 0) continue;
    await subscriber.stop();
    subscriber = await rig.subscribe({ request: { start: { case: 'cursor', value: subscriber.cursor() }, filter } });
  }
  return keys;
}
