import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openDatabase } from '../../server/store/database.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';
import { newTask } from '../store/rows.ts';
import { checkHolds } from './check-holds.ts';
import { checkLimits } from './check-limits.ts';
import type { Hold } from './messages.ts';
import { concurrency, type PlanType, rate } from './plan.ts';
import { createRecord } from './record.ts';

let database: TestDatabase;
let sql: postgres.Sql;
beforeEach(async () => {
  database = await createTestDatabase();
  sql = postgres(database.url, { max: 1 });
});
afterEach(async () => {
  await sql.end();
  await database.drop();
});

const originMs = Date.now();

/** A lease with the times of its events, in milliseconds from some moment; without a start it was never accepted. */
interface Lease {
  readonly type: PlanType;
  readonly key?: string;
  readonly leased: number;
  readonly started?: number;
  readonly ended: number;
}

async function record(...leases: readonly Lease[]): Promise<void> {
  const { run, close } = openDatabase({ url: database.url, connections: 1, applicationName: 'check' });
  try {
    const tasks = leases.map(({ type, key = '' }) => ({ ...newTask, type, limitKey: key }));
    const inserted = await run((statement) => insertTasks(statement, tasks));
    for (const [place, { type, leased, started, ended }] of leases.entries()) {
      const events = [
        ['leased', 'RUNNING', leased],
        ...(started === undefined ? [] : [['started', 'RUNNING', started] as const]),
        [started === undefined ? 'released' : 'succeeded', started === undefined ? 'PENDING' : 'SUCCEEDED', ended],
      ] as const;
      const leaseId = randomUUID();
      for (const [index, [kind, state, atMs]] of events.entries()) {
        await sql`
          INSERT INTO task_event (task_id, sequence, time, namespace, type, kind, state, attempt, actor, lease_id)
          VALUES (${inserted[place]?.id ?? ''}, ${index + 2}, ${new Date(originMs + atMs)}, 'default', ${type}, ${kind},
            ${state}, 1, 'test', ${leaseId})`;
      }
    }
  } finally {
    await close();
  }
}

async function brokenHolds(type: Hold['type']): Promise<number> {
  const known = createRecord();
  known.holds.push({ how: 'pause of the type', type, fromMs: originMs + 1_000, toMs: originMs + 2_000 });
  return (await checkHolds(sql, known)).violations.length;
}

test.each([
  { what: 'leased and accepted meanwhile', leased: 1_100, started: 1_200, broken: 1 },
  { what: 'claimed before and accepted meanwhile', leased: 900, started: 1_200, broken: 0 },
  { what: 'claimed right before the release and accepted after it', leased: 1_999, started: 2_010, broken: 0 },
  { what: 'leased after it', leased: 2_100, started: 2_200, broken: 0 },
])('finds $broken breaches of a pause in what is $what', async ({ leased, started, broken }) => {
  await record({ type: 'storm.steered', leased, started, ended: 3_000 });
  expect(await brokenHolds('storm.steered')).toBe(broken);
  expect(await brokenHolds('storm.fused')).toBe(0);
  expect(await brokenHolds('')).toBe(broken);
});

async function brokenLimits(): Promise<number[]> {
  return (await checkLimits(sql)).map(({ violations }) => violations.length);
}

/** As many as may run, and one more, with keys of their own. */
const tooMany = Array.from({ length: concurrency.concurrencyMax + 1 }, (_, index) => `key ${index}`);

test.each([
  { what: 'that run together', last: { leased: 100, started: 200, ended: 900 }, broken: 1 },
  { what: 'of which one begins when another one ends', last: { leased: 400, started: 550, ended: 900 }, broken: 0 },
  { what: 'of which one was never accepted', last: { leased: 100, ended: 900 }, broken: 0 },
])('finds $broken leases too many among those $what', async ({ last, broken }) => {
  const leases = tooMany.map((key) => ({ type: 'storm.limited' as const, key, leased: 0, started: 100, ended: 500 }));
  await record(...leases.slice(1), { type: 'storm.limited', key: 'last', ...last });
  expect(await brokenLimits()).toEqual([broken, 0]);
});

test('finds one more of a key than may run', async () => {
  const ofKey = (key: string) => ({ type: 'storm.limited' as const, key, leased: 0, started: 100, ended: 500 });
  const keys = Array.from({ length: concurrency.concurrencyPerKeyMax }, () => 'a');
  await record(...keys.map(ofKey), ofKey('b'));
  expect(await brokenLimits()).toEqual([0, 0]);
  await record({ ...ofKey('a'), started: 200 });
  expect(await brokenLimits()).toEqual([1, 0]);
});

test('finds more leases at once than a rate and a claim that was held up allow', async () => {
  const leases = Array.from({ length: 2 * rate.burst + rate.tasks }, () => ({
    ...{ type: 'storm.steered' as const, leased: 0, started: 50, ended: 100 },
  }));
  await record(...leases);
  expect(await brokenLimits()).toEqual([0, 0]);
  await record({ type: 'storm.steered', leased: 0, ended: 100 });
  expect((await brokenLimits())[1]).toBeGreaterThan(0);
});
