import postgres from 'postgres';
import { afterEach, expect, test, vi } from 'vitest';
import { createClaim } from '../../server/engine/claim.ts';
import { createQueueStarts } from '../../server/engine/queue-starts.ts';
import { openDatabase } from '../../server/store/database.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { leasePendingTasks, lockDueTasks } from '../../server/store/lease-tasks.ts';
import { createTestDatabase } from '../setup/database.ts';
import { insertSession, newTask } from '../store/rows.ts';

afterEach(() => {
  vi.useRealTimers();
});

test('a look from the beginning that finds nothing leaves what was known of where the queue begins', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const starts = createQueueStarts(() => true);
  const wants = [{ namespace: 'default', type: 'mail', tasksMax: 10 }];
  const task = {
    id: 'a',
    namespace: 'default',
    type: 'mail',
    priority: 4,
    availableMs: 10_000,
    attempt: 0,
    isProbe: false,
  };
  expect(starts.of(wants)).toEqual([]);
  starts.found([task]);
  const [known] = starts.of(wants);
  expect(known).toMatchObject({ type: 'mail', priority: 4 });
  vi.advanceTimersByTime(1_500);
  expect(starts.of(wants)).toEqual([]);
  starts.found([]);
  expect(starts.of(wants)).toEqual([known]);
});

test('a claim that steps around what a snapshot keeps finds all that is new at once, and what went back within a second', async () => {
  const testDatabase = await createTestDatabase();
  const database = openDatabase({ url: testDatabase.url, connections: 1, applicationName: 'starts' });
  const sql = postgres(testDatabase.url, { max: 1 });
  const { namespace, type } = newTask;
  let isSlowed = true;
  const claim = createClaim({ database, starts: createQueueStarts(() => isSlowed) });
  /** What a claim would lease. */
  const found = async () => {
    const ids: string[] = [];
    await claim([{ namespace, type, tasksMax: 10 }], (candidates) => {
      ids.push(...candidates.map(({ id }) => id));
      return [];
    });
    return ids;
  };
  const submit = async (priority: number) => {
    const [inserted] = await database.run((run) => insertTasks(run, [{ ...newTask, priority }]));
    return inserted?.id ?? '';
  };
  try {
    const first = await submit(4);
    expect(await found()).toEqual([first]);
    const [second, urgent] = [await submit(4), await submit(9)];
    expect(await found()).toEqual([urgent, first, second]);
    const start = { namespace, type, priority: 4, fromMs: Date.now() + 60_000 };
    const { due } = await database.run((run) => lockDueTasks(run, [{ namespace, type, tasksMax: 10 }], [start]));
    expect(due.map(({ id }) => id)).toEqual([urgent]);

    // As a lease that is lost after an hour would.
    const back = await submit(4);
    await sql`UPDATE task SET available_time = now() - interval '1 hour' WHERE id = ${back}`;
    await expect.poll(found, { timeout: 5_000 }).toEqual([urgent, back, first, second]);
    isSlowed = false;
    const older = await submit(4);
    await sql`UPDATE task SET available_time = now() - interval '2 hours' WHERE id = ${older}`;
    expect(await found()).toEqual([urgent, older, back, first, second]);
  } finally {
    await sql.end();
    await database.close();
    await testDatabase.drop();
  }
});

test('a claim that knows where a queue begins reads nothing of what a snapshot keeps in front of it, also when nothing waits', async () => {
  const testDatabase = await createTestDatabase();
  const database = openDatabase({ url: testDatabase.url, connections: 1, applicationName: 'starts' });
  const sql = postgres(testDatabase.url, { max: 2 });
  const { namespace, type, priority } = newTask;
  /** Entries of the index of waiting tasks that one look reads. */
  const entriesRead = async (starts: Parameters<typeof lockDueTasks>[2]) => {
    const before = await entries();
    const { due } = await database.run((run) => lockDueTasks(run, [{ namespace, type, tasksMax: 10 }], starts));
    return { due, read: (await entries()) - before };
  };
  const nowMs = async () => {
    const [row] = await sql<{ ms: number }[]>`SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms`;
    return row?.ms ?? Number.NaN;
  };
  const entries = async () => {
    await database.run((run) => run`SELECT pg_stat_force_next_flush()`);
    const [row] = await sql<{ count: number }[]>`
      SELECT idx_tup_read::int AS count FROM pg_stat_user_indexes WHERE indexrelname = 'task_pending'`;
    return row?.count ?? Number.NaN;
  };
  try {
    await sql.begin('isolation level repeatable read', async (snapshot) => {
      await snapshot`SELECT count(*) FROM task`;
      const sessionId = await insertSession(sql);
      const gone = await database.run((run) => insertTasks(run, Array(2_000).fill(newTask)));
      const lease = { sessionId, actor: 'test', counted: false };
      const leases = gone.map(({ id }) => ({ ...lease, taskId: id, leaseId: crypto.randomUUID() }));
      expect(await database.run((run) => leasePendingTasks(run, leases))).toHaveLength(2_000);
      const start = { namespace, type, priority, fromMs: await nowMs() };

      expect((await entriesRead([])).read).toBeGreaterThanOrEqual(2_000);
      expect((await entriesRead([start])).read).toBeLessThan(100);
      await database.run((run) => insertTasks(run, [newTask]));
      const { due, read } = await entriesRead([start]);
      expect(due).toHaveLength(1);
      expect(read).toBeLessThan(100);
    });
  } finally {
    await sql.end();
    await database.close();
    await testDatabase.drop();
  }
});
