import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { expect, test } from 'vitest';
import { openDatabase } from '../../server/store/database.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { leasePendingTasks } from '../../server/store/lease-tasks.ts';
import { lockCurrentLeases } from '../../server/store/lock-tasks.ts';
import { acceptCurrentLeases, storeCurrentProgress, succeedCurrentLeases } from '../../server/store/report-tasks.ts';
import { createTestDatabase } from '../setup/database.ts';
import { insertSession, newTask } from './rows.ts';

test('finds tasks by their key when statistics are older than the load', async () => {
  const database = await createTestDatabase();
  // One connection, so that it can be told to publish what it has read.
  const { run, close } = openDatabase({ url: database.url, connections: 1, applicationName: 'by-key' });
  const sql = postgres(database.url, { max: 1 });
  try {
    const sessionId = await insertSession(sql);
    await run((statement) => insertTasks(statement, Array(2_000).fill(newTask)));
    // A quiet moment, as Postgres knows it: nothing waits and nothing runs.
    await sql`UPDATE task SET state = 'SUCCEEDED', finished_time = now()`;
    await sql`ANALYZE task`;
    const inserted = await run((statement) => insertTasks(statement, Array(1_000).fill(newTask)));

    const leases = inserted
      .slice(0, 300)
      .map(({ id }) => ({ taskId: id, leaseId: randomUUID(), sessionId, actor: '', counted: false }));
    const leased = await run((statement) => leasePendingTasks(statement, leases));
    const reports = leased.map(({ fence }) => ({ fence, sessionId, actor: '', counted: false }));
    await run((statement) =>
      acceptCurrentLeases(
        statement,
        reports.map((report) => ({ ...report, agoMs: 0 })),
      ),
    );
    await run((statement) =>
      storeCurrentProgress(
        statement,
        reports.map((report) => ({ ...report, percent: 1, message: '', checkpoint: null })),
      ),
    );
    await run((statement) => lockCurrentLeases(statement, reports));
    const output = { output: Buffer.of(), outputContentType: '', acceptedAgoMs: 0 };
    const recorded = await run((statement) =>
      succeedCurrentLeases(
        statement,
        reports.map((report) => ({ ...report, ...output })),
      ),
    );
    expect(recorded).toHaveLength(300);

    await run((statement) => statement`SELECT pg_stat_force_next_flush()`);
    const scans = await sql`
      SELECT indexrelname AS index, idx_scan::int AS scans FROM pg_stat_user_indexes
      WHERE indexrelname IN ('task_pending', 'task_running', 'task_cancelling') AND idx_scan > 0`;
    expect(scans).toEqual([]);
  } finally {
    await sql.end();
    await close();
    await database.drop();
  }
});
