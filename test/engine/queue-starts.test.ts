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

test('a queue begins at the first task that was found of a priority, or where all that was due had been found', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const starts = createQueueStarts(() => true);
  const mail = { namespace: 'default', type: 'mail' };
  const wants = [{ ...mail, tasksMax: 1 }];
  const task = { ...mail, id: 'a', priority: 4, availableMs: 10_000, attempt: 0, isProbe: false };
  const exhausted = [{ ...mail, nowMs: 20_000 }];
  const first = { ...mail, priority: 4, fromMs: 9_750 };
  const rest = { ...mail, priority: null, fromMs: 19_750 };
  expect(starts.of(wants)).toEqual([]);
  starts.found({ due: [task], exhausted: [] });
  expect(starts.of(wants)).toEqual([first]);
  starts.found({ due: [task], exhausted });
  expect(starts.of(wants)).toEqual([first, rest]);
  starts.found({ due: [], exhausted });
  expect(starts.of(wants)).toEqual([rest]);
  starts.found({ due: [{ ...task, availableMs: 25_000 }], exhausted: [] });
  expect(starts.of(wants)).toEqual([{ ...first, fromMs: 24_750 }, rest]);

  // A look from the beginning that does not come to the end of the queue takes nothing back.
  vi.advanceTimersByTime(1_500);
  expect(starts.of(wants)).toEqual([]);
  starts.found({ due: [], exhausted: [] });
  expect(starts.of(wants)).toEqual([{ ...first, fromMs: 24_750 }, rest]);
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

test('claims step over what a snapshot keeps in front of a queue once, and then begin behind it, also when nothing waits', async () => {
  const testDatabase = await createTestDatabase();
  const database = openDatabase({ url: testDatabase.url, connections: 1, applicationName: 'starts' });
  const sql = postgres(testDatabase.url, { max: 2 });
  const { namespace, type } = newTask;
  const claim = createClaim({ database, starts: createQueueStarts(() => true) });
  /** Entries of the index of waiting tasks that one claim reads which leases nothing, and how many tasks it finds. */
  const entriesRead = async () => {
    const before = await entries();
    let due = 0;
    await claim([{ namespace, type, tasksMax: 10 }], (candidates) => {
      due = candidates.length;
      return [];
    });
    return { due, read: (await entries()) - before };
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
      const gone = await database.run((run) =>
        insertTasks(run, Array(2_000).fill({ ...newTask, availableTime: new Date(Date.now() - 60_000) })),
      );
      const lease = { sessionId, actor: 'test', counted: false };
      const leases = gone.map(({ id }) => ({ ...lease, taskId: id, leaseId: crypto.randomUUID() }));
      expect(await database.run((run) => leasePendingTasks(run, leases))).toHaveLength(2_000);

      expect((await entriesRead()).read).toBeGreaterThanOrEqual(2_000);
      expect(await entriesRead()).toMatchObject({ due: 0, read: expect.toSatisfy((read) => read < 100) });
      await database.run((run) => insertTasks(run, [newTask]));
      expect(await entriesRead()).toMatchObject({ due: 1, read: expect.toSatisfy((read) => read < 100) });
    });
  } finally {
    await sql.end();
    await database.close();
    await testDatabase.drop();
  }
});
