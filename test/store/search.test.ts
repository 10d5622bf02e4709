import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { type Found, searchTasks } from '../../server/store/search-tasks.ts';
import type { TaskFilter } from '../../server/store/task-filter.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';

const rows = 60_000;
const everything: TaskFilter = {
  ...{ namespace: 'default', permitted: { all: true, names: [], prefixes: [] }, types: [], states: [], labels: [] },
  ...{ createdAfter: undefined, createdBefore: undefined, finishedAfter: undefined, finishedBefore: undefined },
  ...{ errorCodes: [], errorFingerprints: [], paused: undefined, deadLettersOnly: false },
};
const newest = { order: 'newest first', after: undefined } as const;
let testDatabase: TestDatabase;
let database: Database;
let sql: postgres.Sql;

/** A table whose oldest rows are what is looked for: the first twentieth has labels of its own, as a batch
 * of last month has, and some of it failed on one bad day. */
beforeAll(async () => {
  testDatabase = await createTestDatabase();
  // One connection, so that it can be told to publish what it has read.
  database = openDatabase({ url: testDatabase.url, connections: 1, applicationName: 'search' });
  sql = postgres(testDatabase.url, { max: 1 });
  await sql`
    INSERT INTO task (id, namespace, type, state, priority, attempts_max, create_time, available_time, finished_time,
      run_ms, labels, input, input_content_type, creator, error)
    SELECT dstc_uuid7(time), 'default', 'work', CASE WHEN n <= 300 THEN 'FAILED' ELSE 'SUCCEEDED' END::task_state, 4, 5,
      time, time, time, 1000,
      CASE WHEN n <= 3000 THEN jsonb_build_object('batch', 'first', 'at', n::text, 'team', 'a')
        WHEN n % 2 = 0 THEN '{"team":"a"}' ELSE '{}' END, '{}', 'application/json', 'test',
      CASE WHEN n <= 300 THEN jsonb_build_object('code', 'CODE_' || n % 3, 'message', '', 'kind', 'PERMANENT') END
    FROM generate_series(1, ${rows}) AS n, LATERAL (SELECT timestamptz '2030-01-01' + n * interval '1 second' AS time)`;
  await sql`VACUUM ANALYZE task`;
}, 60_000);
afterAll(async () => {
  await sql.end();
  await database.close();
  await testDatabase.drop();
});

/** The rows of the table that a search looks at. */
async function rowsRead(search: () => Promise<unknown>): Promise<number> {
  const before = await total();
  await search();
  return (await total()) - before;
}

async function total(): Promise<number> {
  await database.run((statement) => statement`SELECT pg_stat_force_next_flush()`);
  const [stat] = await sql<{ read: number }[]>`
    SELECT (seq_tup_read + idx_tup_fetch)::int AS read FROM pg_stat_user_tables WHERE relname = 'task'`;
  return stat?.read ?? 0;
}

/** Everything that matches, by the steps in which it is found. */
async function matching(filter: TaskFilter): Promise<string[][]> {
  const steps: string[][] = [];
  let after: string | undefined;
  do {
    const place = { order: 'oldest first', after } as const;
    const found: Found = await database.query((orm) => searchTasks(orm, filter, place, 500));
    steps.push(found.tasks.map(({ id }) => id));
    after = found.next;
  } while (after !== undefined);
  return steps;
}

const labelled = (key: string, operator: 'in' | 'exists', ...values: string[]) => ({
  ...everything,
  labels: [{ key, operator, values }],
});

test.each<[string, TaskFilter, number]>([
  ['a label of an old batch', labelled('batch', 'in', 'first'), 3_000],
  ['one of several values', labelled('at', 'in', '7', '8', 'nothing'), 2],
  ['a label that exists', labelled('at', 'exists'), 3_000],
  ['a label that nobody has', labelled('batch', 'in', 'second'), 0],
  ['dead letters', { ...everything, deadLettersOnly: true }, 300],
  ['dead letters of a type', { ...everything, deadLettersOnly: true, types: ['work'] }, 300],
  ['dead letters with a code', { ...everything, deadLettersOnly: true, errorCodes: ['CODE_1'] }, 100],
])('a search for %s reads little more than what it finds', async (_, filter, count) => {
  let page: string[] = [];
  const read = await rowsRead(async () => {
    const { tasks } = await database.query((orm) => searchTasks(orm, filter, newest, 50));
    page = tasks.map(({ id }) => id);
  });
  // Those with the label are looked at twice, and a third time as far as the page needs them.
  expect(read).toBeLessThanOrEqual(3 * count + 50);

  let found: string[] = [];
  const readForOrders = await rowsRead(async () => {
    found = (await matching(filter)).flat();
  });
  expect(found).toHaveLength(count);
  expect(found).toEqual(found.toSorted());
  expect(page).toEqual(found.toReversed().slice(0, 50));
  // A step finds 500.
  expect(readForOrders).toBeLessThanOrEqual((Math.floor(count / 500) + 1) * (3 * count + 50));
});

test('a search for a label that many tasks have reads a page', async () => {
  const filter = labelled('team', 'in', 'a');
  const read = await rowsRead(() => database.query((orm) => searchTasks(orm, filter, newest, 50)));
  // It looks at some of them to know that they are many.
  expect(read).toBeLessThan(25_000);
});

test('a search by the time of submission reads that time alone', async () => {
  const createdAfter = new Date(Date.parse('2030-01-01T00:00:00Z') + 1_000_000);
  const createdBefore = new Date(createdAfter.getTime() + 40_000);
  const filter = { ...everything, createdAfter, createdBefore };
  let found = 0;
  const read = await rowsRead(async () => {
    found = (await database.query((orm) => searchTasks(orm, filter, newest, 100))).tasks.length;
  });
  expect(found).toBe(40);
  expect(read).toBeLessThan(60);
});

test('looks for what no index finds a window at a time', async () => {
  const filter: TaskFilter = { ...everything, states: ['FAILED'], errorCodes: ['CODE_2'] };
  expect((await matching(filter)).map((ids) => ids.length)).toEqual([100, 0, 0]);
});
