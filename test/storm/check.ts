import type postgres from 'postgres';
import { checkAccess } from './check-access.ts';
import { checkAttempts } from './check-attempts.ts';
import { checkCalls } from './check-calls.ts';
import { checkEvents } from './check-events.ts';
import { checkHolds } from './check-holds.ts';
import { checkHooks } from './check-hooks.ts';
import { checkLimits } from './check-limits.ts';
import { checkLogs, type Logs } from './check-logs.ts';
import { checkProgress } from './check-progress.ts';
import { checkReports } from './check-reports.ts';
import { checkTasks } from './check-tasks.ts';
import { faultKindsOf } from './faults.ts';
import type { Property } from './property.ts';
import type { StormRecord } from './record.ts';

const acknowledgedPerMinuteMin = 300;

/** Holds what the clients saw against what the database says, and asks whether enough was seen at all. */
export async function check(
  sql: postgres.Sql,
  record: StormRecord,
  { minutes, logs }: { readonly minutes: number; readonly logs: Logs },
): Promise<Property[]> {
  const samplesMin = Math.floor(acknowledgedPerMinuteMin * minutes);
  return [
    ...(await checkTasks(sql, record, samplesMin)),
    ...checkReports(record),
    await checkProgress(sql, record),
    ...(await checkAttempts(sql, record)),
    await checkHolds(sql, record),
    ...(await checkLimits(sql)),
    ...(await checkEvents(sql, record, samplesMin)),
    ...(await checkHooks(sql, record, samplesMin)),
    ...checkAccess(record),
    ...checkCalls(record),
    ...checkLogs(logs),
    {
      name: 'processes end only when asked to, and then in order',
      violations: record.accidents.map((text) => ({ text })),
      samples: 1,
      samplesMin: 1,
    },
    kinds('every kind of fault struck', faultKindsOf(record), countsOf(record.faults.map(({ kind }) => kind))),
    kinds('every kind of event happened', eventsWanted, await eventCounts(sql)),
  ];
}

const eventsWanted = [
  'leased',
  'started',
  'succeeded',
  'failed',
  'retry_scheduled',
  'released',
  'lease_lost',
  'cancel_requested',
  'cancelled',
];

async function eventCounts(sql: postgres.Sql): Promise<ReadonlyMap<string, number>> {
  const rows = await sql<{ kind: string; count: number }[]>`
    SELECT kind, count(*)::int AS count FROM task_event GROUP BY kind`;
  return new Map(rows.map(({ kind, count }) => [kind, count]));
}

function countsOf(kinds: readonly string[]): ReadonlyMap<string, number> {
  return new Map([...Map.groupBy(kinds, (kind) => kind)].map(([kind, same]) => [kind, same.length]));
}

function kinds(name: string, wanted: readonly string[], counts: ReadonlyMap<string, number>): Property {
  const missing = wanted.filter((kind) => !counts.has(kind));
  const fewest = wanted.toSorted((one, other) => (counts.get(one) ?? 0) - (counts.get(other) ?? 0))[0] ?? '';
  const figure =
    missing.length > 0
      ? `never: ${missing.join(', ')}`
      : `${fewest} ${counts.get(fewest)} times, the others more often`;
  return { name, violations: [], samples: wanted.length - missing.length, samplesMin: wanted.length, figure };
}
