import { pino } from 'pino';
import postgres from 'postgres';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { turnHistory } from '../../server/engine/turn-history.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { migrate } from '../../server/store/migrate.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';
import { newTask } from '../store/rows.ts';

let testDatabase: TestDatabase;
let database: Database;
let sql: postgres.Sql;
let lines: { readonly level: number; readonly partitions: unknown }[];
let turn: () => Promise<void>;

beforeEach(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.url, connections: 4, applicationName: 'history' });
  sql = postgres(testDatabase.url, { max: 3, onnotice: () => undefined });
  lines = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  turn = () => turnHistory({ database, log, historyDays: 90 });
});
afterEach(async () => {
  await sql.end();
  await database.close();
  await testDatabase.drop();
});

async function partitions(): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    SELECT relid::text AS name FROM pg_partition_tree('task_event') WHERE isleaf ORDER BY 1`;
  return rows.map(({ name }) => name);
}

async function addOldPartition(): Promise<void> {
  await sql.unsafe(`CREATE TABLE task_event_20200101 PARTITION OF task_event
    FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2020-01-02 00:00:00+00')`);
}

/** Drops the partition of the last of the days to come, and answers with its name. */
async function dropLastPartition(): Promise<string> {
  const name = (await partitions()).findLast((partition) => /\d{8}$/.test(partition)) ?? '';
  await sql`DROP TABLE ${sql(name)}`;
  return name;
}

/** What a dump does for as long as it takes. */
async function whileHistoryIsRead(work: () => Promise<void>): Promise<void> {
  await sql.begin(async (reader) => {
    await reader`LOCK TABLE task_event IN ACCESS SHARE MODE`;
    await work();
  });
}

const lockTimeout = expect.stringContaining('lock timeout');

test('history that is read for long is left as it is, and the next turn makes up for it', async () => {
  await addOldPartition();
  const missing = await dropLastPartition();
  const before = await partitions();
  await whileHistoryIsRead(async () => {
    await turn();
    expect(await partitions()).toEqual(before);
  });
  const left = [missing, 'task_event_20200101'].map((name) => ({ name, why: lockTimeout }));
  expect(lines).toMatchObject([{ level: 40, partitions: left }]);
  await turn();
  expect(await partitions()).toEqual(
    [...before.filter((name) => name !== 'task_event_20200101'), missing].sort((one, other) => (one < other ? -1 : 1)),
  );
  expect(lines.slice(1)).toMatchObject([{ level: 30, partitions: ['task_event_20200101'] }]);
});

test('who writes history while it is read does not wait behind a partition that is to be dropped', async () => {
  await addOldPartition();
  await whileHistoryIsRead(async () => {
    let isOver = false;
    const turned = turn().finally(() => {
      isOver = true;
    });
    while (!isOver) {
      await database.transaction(async (run) => {
        await run`SET LOCAL lock_timeout = '2s'`;
        await insertTasks(run, [newTask]);
      });
    }
    await turned;
  });
  expect(await partitions()).toContain('task_event_20200101');
});

test('a day with events in the default partition is told of, and the days after it get partitions', async () => {
  const last = await dropLastPartition();
  const first = await dropLastPartition();
  const day = first.slice(-8);
  await database.run((run) => insertTasks(run, [newTask]));
  await sql`UPDATE task_event SET time = to_date(${day}, 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC'`;
  await turn();
  const why = expect.stringContaining('would be violated by some row');
  expect(lines).toMatchObject([{ level: 40, partitions: [{ name: first, why }] }]);
  expect(await partitions()).toContain(last);
});

test('a start goes on while history is read, and says what is missing', async () => {
  const missing = await dropLastPartition();
  await whileHistoryIsRead(async () => {
    expect(await migrate(testDatabase.url)).toMatchObject({ partitionsLeft: [{ name: missing, why: lockTimeout }] });
  });
  expect(await migrate(testDatabase.url)).toMatchObject({ partitionsLeft: [] });
  expect(await partitions()).toContain(missing);
});
