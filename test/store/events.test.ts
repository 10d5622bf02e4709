import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  comparePositions,
  type EventPosition,
  eventShards,
  positionBefore,
} from '../../server/domain/event-position.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { insertSystemEvents } from '../../server/store/insert-system-events.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { leasePendingTasks } from '../../server/store/lease-tasks.ts';
import { succeedCurrentLeases } from '../../server/store/report-tasks.ts';
import {
  allShardsAfter,
  type StoredEvent,
  selectEventsAfter,
  selectStreamEnd,
} from '../../server/store/select-events.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';
import { insertSession, newTask } from './rows.ts';

let testDatabase: TestDatabase;
let database: Database;
let sql: postgres.Sql;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.url, connections: 5, applicationName: 'events' });
  sql = postgres(testDatabase.url, { max: 3 });
});

afterAll(async () => {
  await sql.end();
  await database.close();
  await testDatabase.drop();
});

test('events come in the order of the stream, in pages of any size, each once', async () => {
  const start = await end();
  const ids = await submit(50);
  const sessionId = await insertSession(sql);
  await lease(ids.slice(0, 20), sessionId);
  await settled();
  const whole = await readAll(start, 1_000);
  expect(whole.filter((event) => ids.includes(event.position.subjectId))).toHaveLength(70);
  for (const size of [1, 7]) expect(await readAll(start, size)).toEqual(whole);
});

test('an event whose transaction ends late is not skipped, and those after it wait for it', async () => {
  const start = await end();
  const late = await sql.reserve();
  try {
    await late`BEGIN`;
    const [inserted] = await insertTasks(late, [newTask]);
    const early = await submit(1);
    expect(await readAll(start, 100)).toEqual([]);
    await late`COMMIT`;
    const seen = (await allOf(start, [inserted?.id ?? '', ...early])).map((event) => event.position.subjectId);
    expect(seen).toEqual(expect.arrayContaining([inserted?.id, ...early]));
  } finally {
    late.release();
  }
});

test('events of a task are in order, also when the later one is of the transaction that began first', async () => {
  const start = await end();
  const [id = ''] = await submit(1);
  const sessionId = await insertSession(sql);
  const first = await sql.reserve();
  try {
    await first`BEGIN`;
    // It has its id from here on.
    const [own] = await first<{ xid: string }[]>`SELECT pg_current_xact_id()::text AS xid`;
    const [fence] = await lease([id], sessionId);
    if (fence === undefined) throw new Error('the task was not leased');
    const report = { fence, sessionId, actor: 'test', output: Buffer.from('1'), outputContentType: 'application/json' };
    await succeedCurrentLeases(first, [{ ...report, acceptedAgoMs: 0 }]);
    await first`COMMIT`;
    const events = await allOf(start, [id]);
    expect(events.map((event) => event.kind)).toEqual(['submitted', 'leased', 'started', 'succeeded']);
    expect(BigInt(events.at(-1)?.position.order ?? 0)).toBeGreaterThan(BigInt(own?.xid ?? 0));
  } finally {
    first.release();
  }
});

test('what happens to other things stands in the same stream, with a sequence of its own for each', async () => {
  const start = await end();
  const paused = { namespace: 'default', subject: 'email.send', actor: 'operator' };
  await database.run((run) =>
    insertSystemEvents(run, [{ ...paused, kind: 'task_type.paused', data: { reason: 'x' } }]),
  );
  await submit(1);
  await database.run((run) =>
    insertSystemEvents(run, [
      { ...paused, kind: 'task_type.resumed' },
      { ...paused, kind: 'circuit.opened' },
    ]),
  );
  await settled();
  const events = await readAll(start, 10);
  expect(events.flatMap((event) => (event.of === 'system' ? `${event.kind} ${event.position.sequence}` : []))).toEqual(
    expect.arrayContaining(['task_type.paused 1', 'task_type.resumed 2', 'circuit.opened 1']),
  );
});

test('a page of a long backlog costs no more than its rows, whatever the statistics say', async () => {
  await sql`ANALYZE task_event`;
  const start = await end();
  await submit(20_000);
  await allOf(start, await submit(1));
  const buffers = async (after: EventPosition) => {
    const [row] = await sql<{ 'QUERY PLAN': { Plan: { 'Shared Hit Blocks': number } }[] }[]>`
      EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM dstc_events_after(
        0, ${after.order}::text::xid8, ${after.subjectId}::uuid, 0, ${new Date(after.timeMs)}, 100)`;
    return row?.['QUERY PLAN'][0]?.Plan['Shared Hit Blocks'] ?? Number.POSITIVE_INFINITY;
  };
  await buffers(start);
  // Of 2,500 events in the shard: up to four for each task, for its labels, and one for each event.
  expect(await buffers(start)).toBeLessThan(100 * 5 + 200);
});

async function end() {
  const { order, timeMs } = await database.run(selectStreamEnd);
  return positionBefore(order, timeMs);
}

async function submit(count: number): Promise<string[]> {
  const inserted = await database.run((run) => insertTasks(run, Array(count).fill(newTask)));
  return inserted.map(({ id }) => id);
}

async function lease(ids: readonly string[], sessionId: string) {
  const leases = ids.map((taskId) => ({ taskId, leaseId: randomUUID(), sessionId, actor: 'test', counted: false }));
  return (await database.run((run) => leasePendingTasks(run, leases))).map(({ fence }) => fence);
}

/** Until everything that is committed is final; other tests of the same server hold transactions open for a moment. */
async function settled(): Promise<void> {
  const [now] = await sql<{ end: string }[]>`SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS end`;
  await expect
    .poll(async () => BigInt((await database.run(selectStreamEnd)).order) >= BigInt(now?.end ?? 0))
    .toBe(true);
}

/** Until every one of these subjects has been seen. */
async function allOf(start: EventPosition, subjects: readonly string[]): Promise<StoredEvent[]> {
  for (;;) {
    const events = (await readAll(start, 100)).filter((event) => subjects.includes(event.position.subjectId));
    if (new Set(events.map((event) => event.position.subjectId)).size === subjects.length) return events;
  }
}

async function readAll(start: EventPosition, size: number): Promise<StoredEvent[]> {
  let shards = allShardsAfter(start);
  const all: StoredEvent[] = [];
  for (;;) {
    const pages = await database.run((run) => selectEventsAfter(run, shards, size));
    expect(pages).toHaveLength(eventShards);
    for (const { events } of pages) {
      for (const [index, event] of events.entries()) {
        const before = events[index - 1];
        if (before !== undefined) expect(comparePositions(before.position, event.position)).toBeLessThan(0);
      }
      all.push(...events);
    }
    if (pages.every(({ events }) => events.length === 0)) break;
    shards = shards.map((shard, index) => ({ ...shard, after: pages[index]?.events.at(-1)?.position ?? shard.after }));
  }
  return all.sort((a, b) => comparePositions(a.position, b.position));
}
