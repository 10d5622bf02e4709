import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { comparePositions } from '../../server/domain/event-position.ts';
import { limits } from '../../server/domain/limits.ts';
import { startAt } from '../../server/events/start.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';
import { createRandom } from '../storm/random.ts';

const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const random = createRandom(seed);
const dayMs = 24 * 3_600_000;
const today = Math.floor(Date.now() / dayMs) * dayMs;

let testDatabase: TestDatabase;
let database: Database;
let sql: postgres.Sql;
beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.url, connections: 2, applicationName: 'start' });
  sql = postgres(testDatabase.url, { max: 1, onnotice: () => undefined });
  for (let day = 1; day <= 5; day += 1) {
    const [from, until] = [new Date(today - day * dayMs), new Date(today - (day - 1) * dayMs)];
    await sql.unsafe(`CREATE TABLE history_${day} PARTITION OF task_event
      FOR VALUES FROM ('${from.toISOString()}') TO ('${until.toISOString()}')`);
  }
  // Stream orders are ids of transactions; those of the history below must be in the past.
  await sql`DO $$ BEGIN FOR n IN 1..600 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`;
});
afterAll(async () => {
  await sql.end();
  await database.close();
  await testDatabase.drop();
});

test('a start at a time is before everything that happened since, and not long before', async () => {
  const events = history();
  await sql`INSERT INTO task_event (task_id, sequence, time, namespace, type, kind, state, attempt, actor, stream_order)
    SELECT id, 1, time, 'default', 'a', 'submitted', 'PENDING', 0, 'test', o::xid8
    FROM unnest(${events.map(({ subjectId }) => subjectId)}::uuid[],
      ${events.map(({ timeMs }) => new Date(timeMs).toISOString())}::timestamptz[],
      ${events.map(({ order }) => order)}::text[]) AS i(id, time, o)`;
  const times = events.flatMap(({ timeMs }) => [timeMs, timeMs + 1]);
  for (const timeMs of [0, today - 30 * dayMs, today + dayMs, ...random.shuffled(times).slice(0, 100)]) {
    const { position } = await startAt(database, timeMs);
    const missed = events.filter((event) => event.timeMs >= timeMs && comparePositions(event, position) <= 0);
    expect(missed, `TEST_SEED=${seed}, since ${new Date(timeMs).toISOString()}`).toEqual([]);
    const longBefore = timeMs - 2 * limits.eventTransactionMsMax;
    const skipped = events.filter((event) => event.timeMs < longBefore && comparePositions(event, position) > 0);
    expect(skipped.length, `TEST_SEED=${seed}, since ${new Date(timeMs).toISOString()}`).toBeLessThanOrEqual(20);
  }
});

/** Events of transactions that took up to as long as one may, with gaps of up to a day between them. */
function history() {
  let nowMs = today - 5 * dayMs;
  const events = [];
  for (let order = 10; order < 500 && nowMs < Date.now() - 120_000; order += 1 + Math.floor(random.between(0, 3))) {
    nowMs += random.next() < 0.02 ? random.between(0, dayMs) : random.between(0, 60_000);
    // It began up to so long before it got its place in the order.
    const timeMs = Math.floor(nowMs - random.between(0, limits.eventTransactionMsMax));
    for (let count = random.between(0, 3); count > 0; count -= 1) {
      events.push({
        order: String(order),
        subjectId: randomUUID(),
        sequence: 1,
        timeMs: Math.max(timeMs, today - 5 * dayMs),
      });
    }
  }
  return events;
}
