import postgres from 'postgres';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type EventPosition, positionBefore } from '../../server/domain/event-position.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { insertReaderPositions, keepShards } from '../../server/store/event-readers.ts';
import { insertSystemEvents } from '../../server/store/insert-system-events.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { leasePendingTasks } from '../../server/store/lease-tasks.ts';
import { migrate } from '../../server/store/migrate.ts';
import { selectEventsAfter } from '../../server/store/select-events.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';
import { insertSession, newTask } from './rows.ts';

/** Far from where the clock of a test's server comes. */
const otherClock = 5_000_000_000_000n;

let testDatabase: TestDatabase;
let database: Database;
let sql: postgres.Sql;

beforeEach(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.url, connections: 3, applicationName: 'rebase' });
  sql = postgres(testDatabase.url, { max: 2, onnotice: () => undefined });
});

afterEach(async () => {
  await sql.end();
  await database.close();
  await testDatabase.drop();
});

test('a database of its own server is left as it is', async () => {
  await submit(10);
  const before = await orders();
  expect(await migrate(testDatabase.url)).toMatchObject({ rebasedEvents: 0 });
  expect(await orders()).toEqual(before);
});

test('a webhook of a restored dump gets what was unread, and what happens from then on', async () => {
  await database.run((run) => insertReaderPositions(run, 'nats', positionBefore('0', Date.now())));
  await sql`
    INSERT INTO webhook (id, namespace, description, url, filter, headers, secret_headers, format, secret, since_order, etag,
      creator)
    VALUES (gen_random_uuid(), 'default', '', 'https://hooks.example.com', '{}', '{}', '{}', '{"kind":"cloud_event"}', '', '0',
      '', 'test')`;
  const since = async () => {
    const [row] = await sql<{ order: string }[]>`SELECT since_order::text AS order FROM webhook`;
    return BigInt(row?.order ?? '');
  };
  await sql`UPDATE webhook SET since_order = ${String(otherClock)}::text::xid8`;
  // Also when no event is of the other clock.
  await migrate(testDatabase.url);
  expect(await since()).toBeLessThan(otherClock);

  const unread = await submit(5);
  await moveToOtherClock();
  await sql`UPDATE webhook SET since_order = ${String(otherClock)}::text::xid8`;
  expect(await migrate(testDatabase.url)).toMatchObject({ rebasedEvents: 5 });
  const events = await allOf(5);
  expect(events.map(({ position }) => position.subjectId).toSorted()).toEqual(unread.toSorted());
  const sinceOrder = await since();
  expect(events.filter(({ position }) => BigInt(position.order) < sinceOrder)).toEqual([]);
});

test('a restored dump goes on where each reader was, in order, without a loss', async () => {
  await database.run((run) => insertReaderPositions(run, 'nats', positionBefore('0', Date.now())));
  const read = await submit(20);
  // What the reader has read: everything up to here.
  await sql`UPDATE event_reader SET stream_order = pg_snapshot_xmax(pg_current_snapshot())`;
  const unread = await submit(20);
  await lease(unread);
  await database.run((run) => insertSystemEvents(run, [pause]));
  await moveToOtherClock();
  expect(await readOn()).toEqual([]);

  const { rebasedEvents } = await migrate(testDatabase.url);
  // Of 20 and 20 tasks that were submitted, of which the latter were leased; and the pause.
  expect(rebasedEvents).toBe(61);
  await lease(read);
  const events = await allOf(61);
  const kinds = new Map<string, string[]>();
  for (const { position, kind } of events) {
    kinds.set(position.subjectId, [...(kinds.get(position.subjectId) ?? []), kind]);
  }
  for (const id of read) expect(kinds.get(id)).toEqual(['leased']);
  for (const id of unread) expect(kinds.get(id)).toEqual(['submitted', 'leased']);
  expect(events.filter(({ kind }) => kind === 'task_type.paused')).toHaveLength(1);
  expect(await migrate(testDatabase.url)).toMatchObject({ rebasedEvents: 0 });
});

test('without a reader, what was there comes before everything that follows', async () => {
  const ids = await submit(5);
  await moveToOtherClock();
  expect(await migrate(testDatabase.url)).toMatchObject({ rebasedEvents: 5 });
  await lease(ids);
  expect(new Set((await orders()).map(({ stream_order }) => stream_order === '0'))).toEqual(new Set([true, false]));
});

const pause = { kind: 'task_type.paused', namespace: 'default', subject: 'x', actor: 'test' } as const;

/** As a dump would bring it: the same rows, with orders of a clock that is far ahead. */
async function moveToOtherClock(): Promise<void> {
  for (const table of ['task', 'task_event', 'system_event', 'event_reader']) {
    await sql`
      UPDATE ${sql(table)} SET stream_order = (stream_order::text::bigint + ${String(otherClock)}::bigint)::text::xid8`;
  }
}

async function submit(count: number): Promise<string[]> {
  const inserted = await database.run((run) => insertTasks(run, Array(count).fill(newTask)));
  return inserted.map(({ id }) => id);
}

async function lease(ids: readonly string[]): Promise<void> {
  const sessionId = await insertSession(sql);
  const leases = ids.map((taskId) => ({
    ...{ taskId, leaseId: crypto.randomUUID(), sessionId, actor: 'test', counted: false },
  }));
  await database.run((run) => leasePendingTasks(run, leases));
}

/** What the reader would be given, from where it stands in the database. */
async function readOn() {
  const self = { reader: 'nats', node: 'test', leaseMs: 60_000 };
  const { shards } = await database.run((run) => keepShards(run, self, { held: [], givenUp: [], takes: false }));
  const positions = shards.map(({ shard, position }): { shard: number; after: EventPosition } => ({
    shard,
    after: position,
  }));
  const pages = await database.run((run) => selectEventsAfter(run, positions, 1_000));
  return pages.flatMap(({ events }) => events);
}

/** Until there are so many: other tests of the same server hold transactions open for a moment. */
async function allOf(count: number) {
  for (;;) {
    const events = await readOn();
    if (events.length >= count) return events;
  }
}

function orders() {
  return sql<{ task_id: string; sequence: number; stream_order: string }[]>`
    SELECT task_id, sequence, stream_order::text FROM task_event ORDER BY task_id, sequence`;
}
