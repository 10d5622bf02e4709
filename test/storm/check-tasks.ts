import type postgres from 'postgres';
import { checkHistory } from '../setup/check-history.ts';
import { type PlanType, type Stamp, staleMark } from './plan.ts';
import type { Property, Violation } from './property.ts';
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
  /** From the submission to the first lease. */
  readonly waitedMs: number | null;
  readonly isStale: boolean;
}

/** Holds what the producers were told against what the database says. */
export async function checkTasks(sql: postgres.Sql, record: StormRecord, samplesMin: number): Promise<Property[]> {
  const tasks = await selectTasks(sql);
  return [
    await histories(sql, record, samplesMin),
    keys(tasks, record, samplesMin),
    ends(tasks, record, samplesMin),
    cancels(tasks, record),
    stamps(tasks),
    delays(tasks, record),
    dependents(tasks, record),
    {
      name: 'nothing stands anywhere that was said after a lease was lost',
      violations: tasks.filter(({ isStale }) => isStale).map(({ id }) => violation(id, `has "${staleMark}"`)),
      samples: toldReports(record),
      samplesMin: 5,
    },
  ];
}

function violation(taskId: string, text: string): Violation {
  return { text: `${taskId}: ${text}`, taskId };
}

function toldReports({ settlements }: StormRecord): number {
  return [...settlements].reduce((sum, [what, count]) => (what.startsWith('told ') ? sum + count : sum), 0);
}

function selectTasks(sql: postgres.Sql): Promise<TaskRow[]> {
  return sql<TaskRow[]>`
    SELECT task.id, idempotency_key AS key, task.type, task.state, task.error->>'code' AS code,
      convert_from(output, 'UTF8') AS output, lease.attempt, lease.session_id AS "sessionId",
      (SELECT count(*)::int FROM task_event e WHERE e.task_id = task.id AND e.kind = 'lease_lost') AS lost,
      (
        SELECT extract(epoch FROM min(e.time) - task.create_time)::float8 * 1000 FROM task_event e
        WHERE e.task_id = task.id AND e.kind = 'leased'
      ) AS "waitedMs",
      progress_message IS NOT DISTINCT FROM ${staleMark} OR checkpoint IS NOT DISTINCT FROM ${Buffer.from(staleMark)}
        OR task.error->>'message' IS NOT DISTINCT FROM ${staleMark} AS "isStale"
    FROM task LEFT JOIN LATERAL (
      SELECT attempt, session_id FROM task_event e WHERE e.task_id = task.id AND e.kind = 'leased'
      ORDER BY sequence DESC LIMIT 1
    ) lease ON true`;
}

/** Nothing lost or invented, sequences without a gap, moves by the table, one end, one live lease at a time. */
async function histories(sql: postgres.Sql, record: StormRecord, samplesMin: number): Promise<Property> {
  const ids = [...record.acknowledged.values()].flatMap((set) => [...set]);
  const name = 'acknowledged tasks are there; one end, one lease, no gap';
  try {
    const { events } = await checkHistory(sql, ids);
    return { name, violations: [], samples: ids.length, samplesMin, figure: `${events} events` };
  } catch (error) {
    const violations = String(error)
      .split('\n')
      .map((text) => ({ text, ...withId(text) }));
    return { name, violations, samples: ids.length, samplesMin };
  }
}

function withId(text: string): { readonly taskId: string } | undefined {
  const taskId = /^[0-9a-f-]{36}(?=:)/.exec(text)?.[0];
  return taskId === undefined ? undefined : { taskId };
}

function keys(tasks: readonly TaskRow[], record: StormRecord, samplesMin: number): Property {
  const { sent, acknowledged, conflicts, existed } = record;
  const violations: Violation[] = [];
  for (const [key, same] of Map.groupBy(tasks, (task) => task.key)) {
    const [{ id = '' } = {}] = same;
    if (key === null || !sent.has(key)) violations.push(violation(id, `nobody sent ${key}`));
    if (same.length !== 1) violations.push(violation(id, `${key} made ${same.length} tasks`));
    const answered = [...(acknowledged.get(key ?? '') ?? [])];
    if (answered.some((other) => other !== id))
      violations.push(violation(id, `${key} was answered ${answered.join(', ')}`));
  }
  for (const { key, answer } of conflicts) {
    if (!/IDEMPOTENCY_CONFLICT$/.test(answer) && !passing.test(answer)) {
      violations.push({ text: `${key} was sent again with another request, and answered ${answer}` });
    }
  }
  const refused = conflicts.filter(({ answer }) => answer.endsWith('IDEMPOTENCY_CONFLICT')).length;
  const figure = `${existed} known again, ${refused} conflicts`;
  const samples = Math.min(tasks.length, existed * samplesMin, refused * samplesMin);
  return { name: 'one key is one task, and no other request', violations, samples, samplesMin, figure };
}

function ends(tasks: readonly TaskRow[], { sent }: StormRecord, samplesMin: number): Property {
  const violations = tasks.flatMap((task) => {
    const { id, key, type, state, code, lost } = task;
    const asked = sent.get(key ?? '');
    if (asked?.type !== type) return [violation(id, `is a ${type}, asked for was a ${asked?.type}`)];
    if (asked.end === (state === 'FAILED' ? `FAILED ${code}` : state)) return [];
    if (state === 'CANCELLED') return [];
    // Five lost workers make the task itself suspect.
    if (state === 'FAILED' && code === 'WORKER_LOST' && lost >= 4) return [];
    return [violation(id, `a ${type} ended ${state} ${code ?? ''}`)];
  });
  return { name: 'tasks end as their handlers say', violations, samples: tasks.length, samplesMin };
}

/** Cancelled is what was to be cancelled; the history says that it ended once. */
function cancels(tasks: readonly TaskRow[], { cancelled, told }: StormRecord): Property {
  const ended = tasks.filter(({ state }) => state === 'CANCELLED');
  const violations = ended
    .filter(({ key }) => !cancelled.has(key ?? ''))
    .map(({ id }) => violation(id, 'was cancelled, and nobody asked for it'));
  const running = ended.filter(({ attempt }) => attempt !== null).length;
  const figure = `${running} while running, ${told.size} handlers told, of ${cancelled.size} asked for`;
  const samples = Math.min(ended.length - running, running, told.size);
  return { name: 'cancelled is only what was to be', violations, samples, samplesMin: 3, figure };
}

/** A handler that ran on after its lease was lost has no say in the result. */
function stamps(tasks: readonly TaskRow[]): Property {
  let samples = 0;
  const violations = tasks.flatMap((task) => {
    const { id, state, attempt, sessionId } = task;
    if (state !== 'SUCCEEDED') return [];
    const stamp = stampOf(task);
    if (attempt !== null && attempt > 1) samples += 1;
    if (stamp.taskId === id && stamp.attempt === attempt && stamp.sessionId === sessionId) return [];
    const last = `attempt ${attempt} of ${sessionId}`;
    return [
      violation(id, `the last lease was ${last}, the result is of attempt ${stamp.attempt} of ${stamp.sessionId}`),
    ];
  });
  return { name: 'results come from the last lease, after earlier ones', violations, samples, samplesMin: 20 };
}

function delays(tasks: readonly TaskRow[], { sent }: StormRecord): Property {
  const delayed = tasks.flatMap(({ id, key, waitedMs }) => {
    const delayMs = sent.get(key ?? '')?.delayMs ?? 0;
    return delayMs > 0 && waitedMs !== null ? [{ id, delayMs, waitedMs }] : [];
  });
  const violations = delayed
    .filter(({ delayMs, waitedMs }) => waitedMs < delayMs)
    .map(({ id, delayMs, waitedMs }) =>
      violation(id, `was to wait ${delayMs} ms, and was leased after ${waitedMs} ms`),
    );
  return { name: 'nothing begins before its time', violations, samples: delayed.length, samplesMin: 10 };
}

/** By what the handlers saw: transactions that overlap have times that say little of their order. */
function dependents(tasks: readonly TaskRow[], { sent }: StormRecord): Property {
  const byKey = new Map(tasks.map((task) => [task.key, task]));
  let samples = 0;
  const violations = tasks.flatMap((task) => {
    const after = sent.get(task.key ?? '')?.after ?? [];
    if (after.length === 0 || task.state !== 'SUCCEEDED') return [];
    const { beganMs = Number.POSITIVE_INFINITY } = stampOf(task);
    return after.flatMap((other) => {
      const before = byKey.get(other);
      if (before?.state !== 'SUCCEEDED') return [];
      samples += 1;
      if ((stampOf(before).endedMs ?? 0) <= beganMs) return [];
      return [violation(task.id, `began before ${before.id} was done, which it depends on`)];
    });
  });
  return { name: 'nothing begins before what it depends on has ended', violations, samples, samplesMin: 10 };
}

function stampOf({ output }: TaskRow): Partial<Stamp> {
  return JSON.parse(output || '{}') as Partial<Stamp>;
}

/** Calls may be refused for a while; never for a reason that trying again would not cure, nor without one. */
export const passing =
  /^(UNAVAILABLE (DATABASE_UNAVAILABLE|NODE_DRAINING|UNREACHABLE)|UNREACHABLE|DEADLINE_EXCEEDED DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED OVERLOADED)$/;
