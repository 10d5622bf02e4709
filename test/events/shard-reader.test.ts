import { pino } from 'pino';
import postgres from 'postgres';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventShards, positionBefore } from '../../server/domain/event-position.ts';
import { type EventConsumer, type ShardReader, startShardReader } from '../../server/events/shard-reader.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import {
  insertReaderPositions,
  keepShards,
  moveReaderBack,
  storeHeldPositions,
} from '../../server/store/event-readers.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { leasePendingTasks } from '../../server/store/lease-tasks.ts';
import type { StoredEvent } from '../../server/store/select-events.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';
import { insertSession, newTask } from '../store/rows.ts';

let testDatabase: TestDatabase;
let writer: Database;
let sql: postgres.Sql;
let nodes: TestNode[];

beforeEach(async () => {
  testDatabase = await createTestDatabase();
  writer = openDatabase({ url: testDatabase.url, connections: 3, applicationName: 'writer' });
  sql = postgres(testDatabase.url, { max: 3, onnotice: () => undefined });
  nodes = [];
});

afterEach(async () => {
  await Promise.all(nodes.map((node) => node.stop()));
  await sql.end();
  await writer.close();
  await testDatabase.drop();
});

test('hands out what is written from its first start on, in order, each event once', async () => {
  await submit(20);
  await everythingIsFinal();
  const node = await start();
  const ids = await submit(50);
  await lease(ids);
  node.hint();
  await node.until(100);
  expect(node.keys()).toEqual(new Set(ids.flatMap((id) => [`${id}:1`, `${id}:2`])));
  expect(node.seen).toHaveLength(100);
  node.expectOrder();
});

test('goes on after a restart where it was, without a gap or a double', async () => {
  const first = await start();
  const before = await submit(30);
  first.hint();
  await first.until(30);
  await first.stop();
  const meanwhile = await submit(30);
  const second = await start();
  await second.until(30);
  expect(second.keys()).toEqual(new Set(meanwhile.map((id) => `${id}:1`)));
  expect(before).toHaveLength(30);
});

test('finds what other nodes write within about a second, without a hint', async () => {
  const node = await start();
  const [id = ''] = await submit(1);
  await node.until(1);
  expect(node.keys()).toEqual(new Set([`${id}:1`]));
});

test('shares the shards with other nodes, and hands over without a double', async () => {
  const one = await start();
  expect(one.reader.shardCount()).toBe(eventShards);
  const two = await start();
  const three = await start();
  const writing = submitWhile(async () => {
    await expect.poll(() => nodes.map((node) => node.reader.shardCount()).sort(), patience).toEqual([2, 3, 3]);
    await two.stop();
    await expect.poll(() => [one, three].map((node) => node.reader.shardCount()), patience).toEqual([4, 4]);
  });
  const ids = await writing;
  await expect.poll(() => one.seen.length + two.seen.length + three.seen.length, patience).toBe(ids.length);
  expect(new Set([...one.keys(), ...two.keys(), ...three.keys()]).size).toBe(ids.length);
});

test('takes over from a node that died, within its lease', async () => {
  const dying = await start();
  const heir = await start();
  await expect.poll(() => heir.reader.shardCount(), patience).toBe(eventShards / 2);
  await dying.die();
  const ids = await submit(100);
  await expect.poll(() => heir.reader.shardCount(), patience).toBe(eventShards);
  await heir.until(100);
  expect(heir.keys()).toEqual(new Set(ids.map((id) => `${id}:1`)));
});

test('refuses the position of a node that was gone for longer than its lease', async () => {
  const [gone, heir] = ['gone', 'heir'].map((node) => ({ reader: 'nats', node, leaseMs: 100 }));
  if (gone === undefined || heir === undefined) throw new Error('two names make two nodes');
  const position = positionBefore('1', Date.now());
  await writer.run((run) => insertReaderPositions(run, 'nats', position));
  const none = { held: [], givenUp: [], takes: true };
  const { shards } = await writer.run((run) => keepShards(run, gone, none));
  expect(shards.map(({ is }) => is)).toEqual(Array(eventShards).fill('taken'));
  await expect
    .poll(async () => {
      const taken = await writer.run((run) => keepShards(run, heir, none));
      return taken.shards.filter(({ is }) => is === 'taken').length;
    }, patience)
    .toBe(eventShards);
  const late = shards.map((shard) => ({ ...shard, position: positionBefore('7', Date.now()) }));
  expect(await writer.run((run) => storeHeldPositions(run, gone, late))).toEqual(new Set());
  const kept = await writer.run((run) => keepShards(run, gone, { held: shards, givenUp: [], takes: true }));
  expect(kept.shards.map((shard) => [shard.is, shard.position.order])).toEqual(
    Array(eventShards).fill(['not held', '1']),
  );
});

test('reads again from an earlier place when it is told so, and passes over nothing when that place is a later one', async () => {
  const node = { reader: 'nats', node: 'node', leaseMs: 60_000 };
  await writer.run((run) => insertReaderPositions(run, 'nats', positionBefore('5', Date.now())));
  const { shards } = await writer.run((run) => keepShards(run, node, { held: [], givenUp: [], takes: true }));
  const far = shards.slice(0, 3).map((shard) => ({ ...shard, position: positionBefore('9', Date.now()) }));
  await writer.run((run) => storeHeldPositions(run, node, far));

  expect(await writer.run((run) => moveReaderBack(run, 'nats', positionBefore('7', Date.now())))).toBe(true);
  const kept = await writer.run((run) => keepShards(run, node, { held: shards, givenUp: [], takes: true }));
  const places = kept.shards.toSorted((a, b) => a.shard - b.shard).map(({ is, position }) => [is, position.order]);
  expect(places).toEqual([...Array(3).fill(['not held', '7']), ...Array(eventShards - 3).fill(['held', '5'])]);
  expect(await writer.run((run) => moveReaderBack(run, 'webhooks', positionBefore('7', Date.now())))).toBe(false);
});

test('events whose delivery failed come again, and later ones of their shard not before', async () => {
  let failures = 3;
  const node = await start({
    deliver: async () => {
      if (failures > 0) {
        failures -= 1;
        throw new Error('the receiver is away');
      }
    },
  });
  const ids = await submit(40);
  await lease(ids);
  node.hint();
  await node.until(80);
  node.expectOrder();
  expect(node.keys().size).toBe(80);
});

test('an event whose transaction ends late is read as soon as it has ended', async () => {
  const node = await start();
  const late = await sql.reserve();
  try {
    await late`BEGIN`;
    const [inserted] = await insertTasks(late, [newTask]);
    const [early] = await submit(1);
    node.hint();
    await expect.poll(() => node.reader.lagMs(), patience).toBeGreaterThan(0);
    expect(node.seen).toEqual([]);
    await late`COMMIT`;
    await node.until(2);
    expect(node.keys()).toEqual(new Set([`${inserted?.id}:1`, `${early}:1`]));
  } finally {
    late.release();
  }
});

test('a node that cannot deliver leaves the shards to those that can', async () => {
  let isAble = false;
  const unable = await start({ isAble: () => isAble }, 0);
  const able = await start();
  expect(able.reader.shardCount()).toBe(eventShards);
  isAble = true;
  unable.reader.look();
  await expect.poll(() => able.reader.shardCount(), patience).toBe(eventShards / 2);
  isAble = false;
  unable.reader.look();
  await expect.poll(() => able.reader.shardCount(), patience).toBe(eventShards);
  const ids = await submit(10);
  await able.until(10);
  expect(able.keys()).toEqual(new Set(ids.map((id) => `${id}:1`)));
});

test('tells how long the oldest unread event has waited, also while nobody reads', async () => {
  const node = await start();
  await node.stop();
  const watcher = await start({ isAble: () => false }, 0);
  expect(watcher.reader.lagMs()).toBe(0);
  await submit(1);
  await expect.poll(() => watcher.reader.lagMs(), patience).toBeGreaterThan(500);
});

const patience = { timeout: 15_000, interval: 20 };

interface TestNode {
  readonly reader: ShardReader;
  readonly seen: StoredEvent[];
  readonly hint: () => void;
  /** Waits for so many events. */
  readonly until: (count: number) => Promise<void>;
  readonly keys: () => Set<string>;
  readonly expectOrder: () => void;
  /** Ends without a word to anybody. */
  readonly die: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** Starts a node and waits until it reads shards, unless it is to have none. */
async function start(consumer: Partial<EventConsumer> = {}, shardsMin = 1): Promise<TestNode> {
  const database = openDatabase({ url: testDatabase.url, connections: 3, applicationName: 'reader' });
  const seen: StoredEvent[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  const listeners: (() => void)[] = [];
  const lastOf = new Map<string, number>();
  const disorder: string[] = [];
  const reader = startShardReader(
    {
      database,
      eventsWritten: { listen: (listener) => listeners.push(listener) },
      log: pino({ level: 'silent' }),
      node: 'node',
    },
    {
      reader: 'nats',
      eventsMax: 7,
      ...consumer,
      async deliver(shard, events, signal) {
        await consumer.deliver?.(shard, events, signal);
        for (const event of events) {
          const { subjectId, sequence } = event.position;
          if ((lastOf.get(subjectId) ?? 0) >= sequence) disorder.push(`${subjectId}:${sequence}`);
          lastOf.set(subjectId, sequence);
          seen.push(event);
        }
        for (const { count, resolve } of waiting) if (seen.length >= count) resolve();
      },
    },
  );
  let stopped: Promise<void> | undefined;
  const node: TestNode = {
    reader,
    seen,
    hint() {
      for (const listener of listeners) listener();
    },
    until(count) {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (seen.length >= count) resolve();
      waiting.push({ count, resolve });
      return promise;
    },
    keys: () => new Set(seen.map(({ position }) => `${position.subjectId}:${position.sequence}`)),
    expectOrder: () => expect(disorder).toEqual([]),
    die: () => database.close(),
    stop: () =>
      (stopped ??= (async () => {
        await reader.stop();
        await database.close();
      })()),
  };
  nodes.push(node);
  if (shardsMin > 0) await expect.poll(() => reader.shardCount(), patience).toBeGreaterThanOrEqual(shardsMin);
  return node;
}

/** Submits tasks one by one until `work` is done; answers with all ids. */
async function submitWhile(work: () => Promise<void>): Promise<string[]> {
  let isDone = false;
  const ids: string[] = [];
  const writing = (async () => {
    while (!isDone) {
      ids.push(...(await submit(3)));
      for (const node of nodes) node.hint();
    }
  })();
  try {
    await work();
  } finally {
    isDone = true;
    await writing;
  }
  return ids;
}

/** Waits until no transaction is left, in any database of the server, from before what was written. */
async function everythingIsFinal(): Promise<void> {
  const unfinal = () =>
    sql`SELECT 1 FROM task_event WHERE stream_order >= pg_snapshot_xmin(pg_current_snapshot()) LIMIT 1`;
  await expect.poll(unfinal, patience).toHaveLength(0);
}

async function submit(count: number): Promise<string[]> {
  const inserted = await writer.run((run) => insertTasks(run, Array(count).fill(newTask)));
  return inserted.map(({ id }) => id);
}

async function lease(ids: readonly string[]): Promise<void> {
  const sessionId = await insertSession(sql);
  const leases = ids.map((taskId) => ({
    taskId,
    leaseId: crypto.randomUUID(),
    sessionId,
    actor: 'test',
    counted: false,
  }));
  await writer.run((run) => leasePendingTasks(run, leases));
}
