import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { expect, test } from 'vitest';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { leasePendingTasks, lockDueTasks } from '../../server/store/lease-tasks.ts';
import { lockCurrentLeases } from '../../server/store/lock-tasks.ts';
import {
  countQueue,
  holdReservations,
  lockQueueRoom,
  selectQueueRoom,
  takeBackExpiredPlaces,
  writeReservation,
} from '../../server/store/queue-reservations.ts';
import { acceptCurrentLeases, storeCurrentProgress, succeedCurrentLeases } from '../../server/store/report-tasks.ts';
import { renewSessionsOfNode } from '../../server/store/sessions.ts';
import { analyzeOutgrownTables } from '../../server/store/statistics.ts';
import { selectTick } from '../../server/store/tick.ts';
import { byTenant, startClaimRig } from '../limits/rig.ts';
import { createTestDatabase } from '../setup/database.ts';
import { insertSession, newTask } from './rows.ts';

/** Postgres plans a statement anew so often before it asks whether a plan for all parameters is as good. */
const trialPlans = 5;
/** Of `oneWay`, those with parameters. */
const statements = 9;
/** Of a claim: it locks, walks, leases, spends tokens of the type and of keys; two have leases of before the limit count. */
const statementsOfLimits = 7;
/** Of a submission by a place, and of reserving it. */
const statementsOfQueues = 7;
const type = newTask.type;

test.each([1, 3, 50])('plans no statement on the way of a task anew, with %i at a time', async (tasks) => {
  await withTasks(async (database, sessionId) => {
    for (let turn = 0; turn < 3 * trialPlans; turn += 1) await oneWay(database, sessionId, tasks);
    expect(await plannedAnew(database, statements)).toEqual([]);
  });
});

test.each([1, 50])('plans no claim of a type with limits anew, with %i at a time', async (tasks) => {
  const rig = await startClaimRig({ connections: 1 });
  try {
    const rate = { tasks: 100_000, intervalMs: 1_000, burst: 100_000 };
    await rig.apply('limited', {
      ...byTenant,
      concurrencyMax: 10_000,
      concurrencyPerKeyMax: 1_000,
      rate,
      ratePerKey: rate,
    });
    const waiting = Array.from({ length: 2_000 }, (_, n) => ({ limitKey: `key-${n % 100}` }));
    await rig.insert('limited', waiting);
    await rig.sql`ANALYZE task`;
    const node = rig.node();
    for (let turn = 0; turn < 3 * trialPlans; turn += 1) {
      expect((await node.claim('limited', tasks)).leased).toHaveLength(tasks);
    }
    expect(await plannedAnew(rig.database, statementsOfLimits)).toEqual([]);
  } finally {
    await rig.stop();
  }
});

test.each([1, 50])('plans nothing that limits the length of a queue anew, with %i at a time', async (tasks) => {
  const testDatabase = await createTestDatabase();
  const database = openDatabase({ url: testDatabase.url, connections: 1, applicationName: 'kept-plans' });
  const name = { namespace: 'default', type };
  try {
    for (let turn = 0; turn < 3 * trialPlans; turn += 1) {
      const ids = [randomUUID(), randomUUID()];
      for (const id of ids) {
        await database.transaction(async (sql) => {
          await lockQueueRoom(sql, name);
          await selectQueueRoom(sql, name);
          await takeBackExpiredPlaces(sql, name);
          await countQueue(sql, name, { countMax: 1_000_000, endedIds: [] });
          const reservation = { id, places: 100, lifeMs: 60_000 };
          await writeReservation(sql, name, { reservation, endedIds: [], free: 0, queueMax: 1_000_000, tookMs: 1 });
        });
      }
      const placed = Array.from({ length: tasks }, (_, at) => ({
        ...newTask,
        place: { reservationId: ids[at % 2] ?? '' },
      }));
      await database.run(async (sql) => {
        expect(await holdReservations(sql, ids)).toHaveLength(2);
        expect(await insertTasks(sql, placed, ids.slice(0, 1))).toHaveLength(tasks);
      });
    }
    expect(await plannedAnew(database, statementsOfQueues)).toEqual([]);
  } finally {
    await database.close();
    await testDatabase.drop();
  }
});

test('makes new plans within a second when a table that was small has grown', async () => {
  const testDatabase = await createTestDatabase();
  const database = openDatabase({ url: testDatabase.url, connections: 1, applicationName: 'kept-plans' });
  const sql = postgres(testDatabase.url, { max: 1 });
  const tick = () => database.run((statement) => selectTick(statement, [], []));
  /** Rows that one task's way reads, in whatever order it finds them. */
  const rowsRead = async () => {
    const before = await rows();
    await oneWay(database, sessionId, 1);
    return (await rows()) - before;
  };
  const rows = async () => {
    await database.run((statement) => statement`SELECT pg_stat_force_next_flush()`);
    const [row] = await sql<{ count: number }[]>`
      SELECT sum(COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0))::int AS count
      FROM pg_stat_user_tables WHERE relname = 'task'`;
    return row?.count ?? Number.NaN;
  };
  const sessionId = await insertSession(sql);
  try {
    // Nothing else may look at the table meanwhile.
    await sql`ALTER TABLE task SET (autovacuum_enabled = false)`;
    await oneWay(database, sessionId, 3);
    await sql`ANALYZE task`;
    for (let turn = 0; turn < 2 * trialPlans; turn += 1) await oneWay(database, sessionId, 1);
    expect((await tick()).hasOutgrownTables).toBe(false);

    const later = { ...newTask, type: 'store.later' };
    for (let batch = 0; batch < 10; batch += 1) {
      await database.run((statement) => insertTasks(statement, Array(500).fill(later)));
    }
    expect(await rowsRead()).toBeGreaterThan(5_000);
    expect((await tick()).hasOutgrownTables).toBe(true);
    await database.run(analyzeOutgrownTables);
    expect((await tick()).hasOutgrownTables).toBe(false);
    expect(await rowsRead()).toBeLessThan(100);
  } finally {
    await sql.end();
    await database.close();
    await testDatabase.drop();
  }
});

/** Those of the statements with parameters that Postgres has gone on to plan for each call. */
async function plannedAnew(database: Database, statements: number): Promise<unknown[]> {
  const plans = await database.run(
    (sql) => sql<{ statement: string; custom: number; kept: number }[]>`
      SELECT statement, custom_plans::int AS custom, generic_plans::int AS kept FROM pg_prepared_statements
      WHERE cardinality(parameter_types) > 0 AND custom_plans + generic_plans > ${2 * trialPlans}::int`,
  );
  expect(plans).toHaveLength(statements);
  return plans.filter(({ custom, kept }) => custom > trialPlans || kept < trialPlans);
}

/** Once every statement that a task takes from its submission to its success, and those that nodes repeat. */
async function oneWay({ run, transaction }: Database, sessionId: string, tasks: number): Promise<void> {
  await run((sql) => insertTasks(sql, Array(tasks).fill(newTask)));
  const leased = await transaction(async (sql) => {
    const { due } = await lockDueTasks(sql, [{ namespace: 'default', type, tasksMax: tasks }]);
    const leases = due.map(({ id }) => ({ taskId: id, leaseId: randomUUID(), sessionId, actor: '', counted: false }));
    return leasePendingTasks(sql, leases);
  });
  expect(leased).toHaveLength(tasks);
  const reports = leased.map(({ fence }) => ({ fence, sessionId, actor: '' }));
  await run((sql) =>
    acceptCurrentLeases(
      sql,
      reports.map((report) => ({ ...report, agoMs: 0 })),
    ),
  );
  await run((sql) =>
    storeCurrentProgress(
      sql,
      reports.map((report) => ({ ...report, percent: 1, message: '', checkpoint: null })),
    ),
  );
  await run((sql) => lockCurrentLeases(sql, reports));
  const output = { output: Buffer.of(), outputContentType: '', acceptedAgoMs: 0 };
  await run((sql) =>
    succeedCurrentLeases(
      sql,
      reports.map((report) => ({ ...report, ...output })),
    ),
  );
  await run((sql) => renewSessionsOfNode(sql, 'node', [{ id: sessionId, lifeMs: 3_600_000 }]));
  await run((sql) => selectTick(sql, [{ namespace: 'default', type, tasksMax: tasks }], [sessionId]));
}

/** A table that Postgres knows to be large. */
async function withTasks(work: (database: Database, sessionId: string) => Promise<void>): Promise<void> {
  const testDatabase = await createTestDatabase();
  // One connection, because each has plans of its own.
  const database = openDatabase({ url: testDatabase.url, connections: 1, applicationName: 'kept-plans' });
  const sql = postgres(testDatabase.url, { max: 1 });
  try {
    const sessionId = await insertSession(sql);
    for (let batch = 0; batch < 10; batch += 1) {
      await database.run((statement) => insertTasks(statement, Array(500).fill(newTask)));
    }
    await sql`ANALYZE task`;
    await work(database, sessionId);
  } finally {
    await sql.end();
    await database.close();
    await testDatabase.drop();
  }
}
