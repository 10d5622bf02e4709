import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import postgres from 'postgres';
import { type Fence, parseSessionId } from '../../server/domain/ids.ts';
import { assembleEngine } from '../../server/engine/engine.ts';
import type { Reporting } from '../../server/engine/live-session.ts';
import { openDatabase } from '../../server/store/database.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { leasePendingTasks } from '../../server/store/lease-tasks.ts';
import { createTestDatabase } from '../setup/database.ts';
import { type HoldableDatabase, holdable } from '../setup/holdable-database.ts';
import { insertSession, newTask } from '../store/rows.ts';

/** An engine in which nothing happens by itself, for what becomes of reports whose writes meet trouble. */
export interface ReportRig {
  readonly database: HoldableDatabase;
  /** Another way to the same database. */
  readonly sql: postgres.Sql;
  readonly engine: ReturnType<typeof assembleEngine>;
  readonly from: Reporting;
  /** Leases of new tasks for the session of `from`, in the order of the ids of their tasks. */
  readonly lease: (count: number) => Promise<readonly Fence[]>;
  readonly stop: () => Promise<void>;
}

const options = { node: 'node', leaseMs: 60_000, payloadBytesMax: 1_000, historyDays: 1 };

export async function startReportRig(): Promise<ReportRig> {
  const testDatabase = await createTestDatabase();
  const database = holdable(openDatabase({ url: testDatabase.url, connections: 5, applicationName: 'reports' }));
  const sql = postgres(testDatabase.url, { max: 2, onnotice: () => undefined });
  const sessionId = parseSessionId(await insertSession(sql));
  return {
    database,
    sql,
    engine: assembleEngine({ database, log: pino({ level: 'silent' }) }, options),
    from: { sessionId, namespace: newTask.namespace, actor: 'worker', may: () => true },
    async lease(count) {
      const inserted = await database.run((run) => insertTasks(run, Array(count).fill(newTask)));
      const whose = { sessionId, actor: 'test', counted: false };
      const leases = inserted.map(({ id }) => ({ ...whose, taskId: id, leaseId: randomUUID() }));
      const leased = await database.run((run) => leasePendingTasks(run, leases));
      return leased.map(({ fence }) => fence).sort((a, b) => (a.taskId < b.taskId ? -1 : 1));
    },
    async stop() {
      await sql.end();
      await database.close();
      await testDatabase.drop();
    },
  };
}
