import type postgres from 'postgres';
import { checkHistory } from '../setup/check-history.ts';
import { checkAttempts } from './check-attempts.ts';
import { faultKinds } from './faults.ts';
import { endOf, type PlanType, type Stamp } from './plan.ts';
import type { Property } from './property.ts';
import type { StormRecord } from './record.ts';

interface TaskRow {
  readonly id: string;
  readonly key: string | null;
  readonly type: PlanType;
  readonly state: string;
  readonly code: string | null;
  readonly output: string | null;
  /** Of the last lease in the history. */
  readonly attempt: number | null;
  readonly sessionId: string | null;
  readonly lost: number;
}

/** Holds what the clients saw against what the database says. */
export async function check(sql: postgres.Sql, record: StormRecord, minutes: number): Promise<Property[]> {
  const tasks = await selectTasks(sql);
  const samplesMin = Math.floor(300 * minutes);
  return [
    await histories(sql, record, samplesMin),
    keys(tasks, record, samplesMin),
    ends(tasks, record, samplesMin),
    stamps(tasks),
    ...(await checkAttempts(sql, record)),
    ...kindsOfEvents(
      await sql<{ kind: string; count: number }[]>`
      SELECT kind, count(*)::int AS count FROM task_event GROUP BY kind`,
    ),
    sample('keys sent again that were known', record.existed, 10),
    sample('late reports refused', record.settlements.get('LEASE_LOST') ?? 0, 5),
    ...faultKinds.map((kind) => sample(kind, record.faults.filter((fault) => fault.kind === kind).length, 1)),
    refusals(record),
    {
      name: 'processes end only when asked to, and then in order',
      violations: record.accidents,
      samples: 1,
      samplesMin: 1,
    },
  ];
}

function selectTasks(sql: postgres.Sql): Promise<TaskRow[]> {
  return sql<TaskRow[]>`
    SELECT task.id, idempotency_key AS key, task.type, task.state, task.error->>'code' AS code,
      convert_from(output, 'UTF8') AS output, lease.attempt, lease.session_id AS "sessionId",
      (SELECT count(*)::int FROM task_event e WHERE e.task_id = task.id AND e.kind = 'lease_lost') AS lost
    FROM task LEFT JOIN LATERAL (
      SELECT attempt, session_id FROM task_event e WHERE e.task_id = task.id AND e.kind = 'leased'
      ORDER BY sequence DESC LIMIT 1
    ) lease ON true`;
}

/** Nothing lost or invented, sequences without a gap, moves by the table, one end, one live lease at a time. */
async function histories(sql: postgres.Sql, record: StormRecord, samplesMin: number): Promise<Property> {
  const ids = [...record.acknowledged.values()].flatMap((set) => [...set]);
  const name = 'acknowledged tasks are there, and every history is sound';
  try {
    await checkHistory(sql, ids);
    return { name, violations: [], samples: ids.length, samplesMin };
  } catch (error) {
    return { name, violations: String(error).split('\n'), samples: ids.length, samplesMin };
  }
}

function keys(tasks: readonly TaskRow[], { sent, acknowledged }: StormRecord, samplesMin: number): Property {
  const violations: string[] = [];
  for (const [key, same] of Map.groupBy(tasks, (task) => task.key)) {
    if (key === null || !sent.has(key)) violations.push(`${key}: nobody sent it`);
    if (same.length !== 1) violations.push(`${key}: made ${same.length} tasks`);
    const ids = [...(acknowledged.get(key ?? '') ?? [])];
    if (ids.some((id) => id !== same[0]?.id)) violations.push(`${key}: is ${same[0]?.id}, answered ${ids.join(', ')}`);
  }
  return { name: 'one key is one task', violations, samples: tasks.length, samplesMin };
}

function ends(tasks: readonly TaskRow[], { sent }: StormRecord, samplesMin: number): Property {
  const violations = tasks.flatMap((task) => {
    const { id, key, type, state, code, lost } = task;
    if (sent.get(key ?? '') !== type) return [`${id}: is a ${type}, asked for was a ${sent.get(key ?? '')}`];
    if (state === endOf(type) && (type !== 'storm.broken' || code === 'BROKEN')) return [];
    // Five lost workers make the task itself suspect.
    if (state === 'FAILED' && code === 'WORKER_LOST' && lost >= 4) return [];
    return [`${id}: a ${type} ended ${state} ${code ?? ''}`];
  });
  return { name: 'tasks end as their handlers say', violations, samples: tasks.length, samplesMin };
}

/** A handler that ran on after its lease was lost has no say in the result. */
function stamps(tasks: readonly TaskRow[]): Property {
  let samples = 0;
  const violations = tasks.flatMap(({ id, state, output, attempt, sessionId }) => {
    if (state !== 'SUCCEEDED') return [];
    const stamp = JSON.parse(output || '{}') as Partial<Stamp>;
    if (attempt !== null && attempt > 1) samples += 1;
    if (stamp.taskId === id && stamp.attempt === attempt && stamp.sessionId === sessionId) return [];
    const last = `attempt ${attempt} of ${sessionId}`;
    return [`${id}: the last lease was ${last}, the result is of attempt ${stamp.attempt} of ${stamp.sessionId}`];
  });
  return { name: 'results come from the last lease, after earlier ones', violations, samples, samplesMin: 20 };
}

const eventsWanted = ['leased', 'started', 'succeeded', 'failed', 'retry_scheduled', 'released', 'lease_lost'];

function kindsOfEvents(counts: readonly { readonly kind: string; readonly count: number }[]): Property[] {
  const byKind = new Map(counts.map(({ kind, count }) => [kind, count]));
  return eventsWanted.map((kind) => sample(`events of kind ${kind}`, byKind.get(kind) ?? 0, 1));
}

/** Calls may be refused for a while; never for a reason that trying again would not cure, nor without one. */
const passing = /^(UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED OVERLOADED)\b/;

function refusals({ refusals: counts }: StormRecord): Property {
  const wrong = [...counts].filter(([why]) => !passing.test(why)).map(([why, count]) => `${why} (${count} times)`);
  const samples = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return { name: 'refused calls say to try again', violations: wrong, samples, samplesMin: 1 };
}

function sample(name: string, samples: number, samplesMin: number): Property {
  return { name, violations: [], samples, samplesMin };
}
