import { pino } from 'pino';
import postgres from 'postgres';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { assembleEngine } from '../../server/engine/engine.ts';
import { startTicker, type Ticker } from '../../server/engine/ticker.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { databaseError, databaseUnavailable } from '../../server/store/database-error.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';
import { insertSession } from '../store/rows.ts';

let testDatabase: TestDatabase;
let database: Database;
let sql: postgres.Sql;
let ticker: Ticker | undefined;

beforeEach(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.url, connections: 4, applicationName: 'ticker' });
  sql = postgres(testDatabase.url, { max: 2, onnotice: () => undefined });
});
afterEach(async () => {
  await ticker?.stop();
  await sql.end();
  await database.close();
  await testDatabase.drop();
});

/** Has each tick of a node fail at its end, and each look for old snapshots at its beginning. */
function failEachTurn(error: unknown): FailingTurns {
  const log = pino({ level: 'silent' });
  const options = { node: 'node', leaseMs: 60_000, payloadBytesMax: 1_000, historyDays: 1 };
  const engine = assembleEngine({ database, log }, options);
  let next = Promise.withResolvers<void>();
  const circuits = {
    ...engine.circuits,
    async turn() {
      next.resolve();
      next = Promise.withResolvers();
      throw error;
    },
  };
  let looks = 0;
  const snapshots = {
    ...engine.snapshots,
    async look() {
      looks += 1;
      throw error;
    },
  };
  ticker = startTicker({ database, log, ...engine, ...options, circuits, snapshots });
  return { failed: () => next.promise, looks: () => looks };
}

interface FailingTurns {
  /** Resolves when the next tick fails. */
  readonly failed: () => Promise<void>;
  readonly looks: () => number;
}

async function expiredSessions(): Promise<number> {
  return (await sql`SELECT FROM worker_session WHERE expire_time <= now()`).length;
}

const deadlock = Object.assign(new Error('deadlock detected'), { code: '40P01' });

test.each([
  ['sweeps', 'for a reason of its own', new Error('a bug'), 0],
  ['sweeps', 'in a deadlock', databaseError(deadlock), 0],
  ['spares', 'because Postgres was away', databaseUnavailable(), 1],
])('%s expired sessions after a turn that failed %s', async (_, __, error, left) => {
  const turns = failEachTurn(error);
  await turns.failed();
  const id = await insertSession(sql);
  await sql`UPDATE worker_session SET expire_time = now() - interval '1 second' WHERE id = ${id}`;
  // The turn that is under way may have looked before; the one after it has looked in any case.
  await turns.failed();
  await turns.failed();
  expect(await expiredSessions()).toBe(left);
});

test('what workers wait for is tried again soon after it failed, and the rest when it is time', async () => {
  const turns = failEachTurn(new Error('a bug'));
  await expect.poll(turns.looks, { timeout: 5_000 }).toBe(1);
  for (let count = 0; count < 4; count += 1) await turns.failed();
  expect(turns.looks()).toBe(1);
});
