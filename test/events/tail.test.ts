import { pino } from 'pino';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DstcError } from '../../server/domain/errors.ts';
import { limits } from '../../server/domain/limits.ts';
import { createLimiter } from '../../server/events/limiter.ts';
import { startNow } from '../../server/events/start.ts';
import { subscribe } from '../../server/events/subscription.ts';
import { createTail, type Tail } from '../../server/events/tail.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';
import { newTask } from '../store/rows.ts';

let testDatabase: TestDatabase;
let database: Database;
let sql: postgres.Sql;
beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.url, connections: 4, applicationName: 'tail' });
  sql = postgres(testDatabase.url, { max: 2, onnotice: () => undefined });
});
afterAll(async () => {
  await sql.end();
  await database.close();
  await testDatabase.drop();
});

/** A tail over the database, whose calls are counted and can be made to fail. */
function startTail() {
  const hints: (() => void)[] = [];
  const state = { calls: 0, isAway: false };
  const watched: Database = {
    ...database,
    run(call, limit) {
      state.calls += 1;
      if (state.isAway) return Promise.reject(new DstcError('DATABASE_UNAVAILABLE', 'away'));
      return database.run(call, limit);
    },
  };
  const tail = createTail({
    database: watched,
    written: { listen: (listener) => hints.push(listener) },
    log: pino({ level: 'silent' }),
  });
  return { tail, state, database: watched, hint: () => void hints.map((hint) => hint()) };
}

/** What a subscriber sees from now on: subjects in order. */
async function follow(tail: Tail, through: Database, signal: AbortSignal) {
  const start = await startNow(database);
  const options = { start, wants: () => true, tasks: undefined, signal };
  const deliveries = subscribe({ database: through, tail, history: createLimiter(1) }, options);
  await deliveries.next();
  return {
    async subjects(count: number): Promise<string[]> {
      const found: string[] = [];
      while (found.length < count) {
        const { value, done } = await deliveries.next();
        if (done) throw new Error('the subscription has ended');
        found.push(...value.events.map(({ position }) => position.subjectId));
      }
      return found;
    },
    async untilCaughtUp(expected: boolean): Promise<void> {
      for (;;) {
        const { value, done } = await deliveries.next();
        if (done || value.isCaughtUp === expected) return;
      }
    },
  };
}

async function submit(count: number): Promise<string[]> {
  return (await database.run((run) => insertTasks(run, Array(count).fill(newTask)))).map(({ id }) => id);
}

test('leaves the database alone while nobody subscribes, whatever is written', async () => {
  const { tail, state, hint } = startTail();
  const looked = Promise.withResolvers<void>();
  const { leave } = tail.join(looked.resolve);
  await looked.promise;
  leave();
  const calls = state.calls;
  const witness = startTail();
  await new Promise<void>((resolve) => {
    let looks = 0;
    const joined = witness.tail.join(() => {
      hint();
      looks += 1;
      if (looks < 3) return;
      joined.leave();
      resolve();
    });
  });
  // Somebody else has looked several times meanwhile, and heard of everything that was written.
  expect(state.calls).toBe(calls);
  tail.stop();
  witness.tail.stop();
});

test('looks seldom at what waits for a foreign transaction that stays open, and hands it out when that ends', async () => {
  const { tail, state, database: watched, hint } = startTail();
  const controller = new AbortController();
  const seen = await follow(tail, watched, controller.signal);
  const foreign = await sql.reserve();
  try {
    await foreign`BEGIN`;
    await foreign`SELECT pg_current_xact_id()`;
    const ids = await submit(3);
    hint();
    const before = state.calls;
    const looks = new Promise<void>((resolve) => {
      let count = 0;
      const joined = tail.join(() => {
        count += 1;
        if (count < 12) return;
        joined.leave();
        resolve();
      });
    });
    const beganMs = performance.now();
    await looks;
    // Twelve looks at 5, 10, 20 … ms take as long as the last of them waits: looks do not come one after the other.
    expect(performance.now() - beganMs).toBeGreaterThan(2 * limits.pollIntervalMs);
    expect(state.calls - before).toBeLessThan(16);
    await foreign`COMMIT`;
    expect((await seen.subjects(3)).toSorted()).toEqual(ids.toSorted());
  } finally {
    foreign.release();
    controller.abort();
    tail.stop();
  }
});

test('a subscriber stays while Postgres is away, hears that it is behind, and misses nothing', async () => {
  const { tail, state, database: watched } = startTail();
  const controller = new AbortController();
  const seen = await follow(tail, watched, controller.signal);
  await seen.untilCaughtUp(true);
  state.isAway = true;
  const ids = await submit(3);
  await seen.untilCaughtUp(false);
  state.isAway = false;
  expect((await seen.subjects(3)).toSorted()).toEqual(ids.toSorted());
  controller.abort();
  tail.stop();
});

test('subscribers that are behind what the tail has dropped go on from the history', async () => {
  const { tail, database: watched } = startTail();
  const controller = new AbortController();
  const [early, late] = [
    await follow(tail, watched, controller.signal),
    await follow(tail, watched, controller.signal),
  ];
  const ids: string[] = [];
  for (let count = 0; count < 12; count += 1) {
    ids.push(...(await submit(1_000)));
    await early.subjects(1_000);
  }
  expect(ids.length).toBeGreaterThan(limits.tailEventsMax);
  expect((await late.subjects(ids.length)).toSorted()).toEqual(ids.toSorted());
  controller.abort();
  tail.stop();
});
