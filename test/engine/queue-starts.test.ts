import postgres from 'postgres';
import { expect, test } from 'vitest';
import { createClaim } from '../../server/engine/claim.ts';
import { createQueueStarts } from '../../server/engine/queue-starts.ts';
import { openDatabase } from '../../server/store/database.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { lockDueTasks } from '../../server/store/lease-tasks.ts';
import { createTestDatabase } from '../setup/database.ts';
import { newTask } from '../store/rows.ts';

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
