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
  database = openDatabase({ url: testDatabase.url, connections: 4, applicationName: 'outage' });
  sql = postgres(testDatabase.url, { max: 2, onnotice: () => undefined });
});
afterEach(async () => {
  await ticker?.stop();
  await sql.end();
  await database.close();
  await testDatabase.drop();
});

/** The turns of a node all of which fail at their end; answers when the next one does. */
function failEachTurn(error: unknown): { readonly failed: () => Promise<void> } {
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
  ticker = startTicker({ database, log, ...engine, ...options, circuits });
  return { failed: () => next.promise };
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
