import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { expect, test } from 'vitest';
import { openDatabase } from '../../server/store/database.ts';
import { lockDependencies } from '../../server/store/insert-dependencies.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { leasePendingTasks } from '../../server/store/lease-tasks.ts';
import { lockTasksOfAnyNamespace } from '../../server/store/lock-tasks.ts';
import {
  acceptCurrentLeases,
  type Reporter,
  storeCurrentProgress,
  succeedCurrentLeases,
} from '../../server/store/report-tasks.ts';
import { createTestDatabase } from '../setup/database.ts';
import { statementsWait } from '../setup/statements-wait.ts';
import { insertSession, newTask } from './rows.ts';

test('locks tasks in one order, whatever the order of the reports', async () => {
  const database = await createTestDatabase();
  const { run, close } = openDatabase({ url: database.url, connections: 5, applicationName: 'lock-order' });
  const sql = postgres(database.url, { max: 2 });
  try {
    const sessionId = await insertSession(sql);
    const inserted = await run((statement) => insertTasks(statement, Array(2_000).fill(newTask)));
    const leases = inserted
      .slice(0, 3)
      .map(({ id }) => ({ taskId: id, leaseId: randomUUID(), sessionId, actor: 'test', counted: false }));
    const leased = await run((statement) => leasePendingTasks(statement, leases));
    // In a table that is known to be large, each report's task is looked up by its key, in the order of the reports.
    await sql`ANALYZE task`;
    const forward: Reporter[] = leased
      .map(({ fence }) => ({ fence, sessionId, actor: 'test' }))
      .sort((a, b) => (a.fence.taskId < b.fence.taskId ? -1 : 1));
    const backward = forward.toReversed();
    const middle = forward[1]?.fence.taskId ?? '';

    // Whoever holds the tasks before the middle one, or those after it, holds them while both wait for it.
    let running: Promise<number>[] = [];
    await sql.begin(async (holder) => {
      await holder`SELECT FROM task WHERE id = ${middle} FOR UPDATE`;
      const accepts = backward.map((report) => ({ ...report, agoMs: 0 }));
      const progress = forward.map((report) => ({ ...report, percent: 50, message: '', checkpoint: null }));
      running = [
        run(async (statement) => (await acceptCurrentLeases(statement, accepts)).size),
        run(async (statement) => (await storeCurrentProgress(statement, progress)).size),
      ];
      await statementsWait(sql, 2);
    });
    expect(await Promise.all(running)).toEqual([3, 3]);

    // Those who submit what depends on tasks, and those who move on what has waited for them.
    await sql.begin(async (holder) => {
      await holder`SELECT FROM task WHERE id = ${middle} FOR UPDATE`;
      const ids = backward.map(({ fence }) => fence.taskId);
      const progress = forward.map((report) => ({ ...report, percent: 55, message: '', checkpoint: null }));
      const keys = ids.map((id) => ({ id, namespace: newTask.namespace }));
      running = [
        run(async (statement) => (await storeCurrentProgress(statement, progress)).size),
        run(async (statement) => (await lockDependencies(statement, keys)).length),
        run(async (statement) => (await lockTasksOfAnyNamespace(statement, ids)).length),
      ];
      await statementsWait(sql, 3);
    });
    expect(await Promise.all(running)).toEqual([3, 3, 3]);

    await sql.begin(async (holder) => {
      await holder`SELECT FROM task WHERE id = ${middle} FOR UPDATE`;
      const successes = forward.map((report) => ({
        ...report,
        output: Buffer.from('{}'),
        outputContentType: 'application/json',
        acceptedAgoMs: 0,
      }));
      const progress = backward.map((report) => ({ ...report, percent: 60, message: '', checkpoint: null }));
      running = [
        run(async (statement) => (await storeCurrentProgress(statement, progress)).size),
        run(async (statement) => (await succeedCurrentLeases(statement, successes)).length),
      ];
      await statementsWait(sql, 2);
    });
    const [stored, succeeded] = await Promise.all(running);
    expect(succeeded).toBe(3);
    // All of it or none, depending on who came first.
    expect([0, 3]).toContain(stored);
  } finally {
    await sql.end();
    await close();
    await database.drop();
  }
});
