import type postgres from 'postgres';
import { deadlines } from './action.ts';
import { openTimesOf } from './circuits.ts';
import { line, type Model } from './model.ts';
import { openMs, windowMs } from './system.ts';
import { hasEnded } from './task-model.ts';

/** All that can be said of the system, by the model's names: once from the model, once from the tables. */
export interface View {
  readonly tasks: Readonly<Record<string, TaskView>>;
  readonly sessions: Readonly<Record<string, 'alive' | 'expired'>>;
  /** What idempotency keys have made. */
  readonly keys: Readonly<Record<string, string>>;
  readonly line: readonly string[];
  readonly heldUp: readonly string[];
  /** By type. */
  readonly circuits: Readonly<Record<string, CircuitView>>;
}

export interface CircuitView {
  readonly state: string;
  readonly by: string | null;
  /** Of an open one: for how many times the open time of its type. */
  readonly openTimes: number | 'enough' | null;
  readonly attempts: number;
  readonly failures: number;
  readonly probes: readonly string[];
  readonly probesSucceeded: number;
  readonly events: readonly string[];
}

export interface TaskView {
  readonly state: string;
  readonly attempt: number;
  readonly attemptsMax: number;
  readonly crashes: number;
  readonly accepted: boolean;
  readonly paused: boolean;
  readonly discarded: boolean;
  readonly deadlines: readonly string[];
  readonly leases: readonly string[];
  readonly percent: number | null;
  readonly checkpoint: number | null;
  readonly aged: boolean;
  readonly dependencies: readonly string[];
  readonly events: readonly string[];
}

/** How ids of the database are called in the model. */
export interface Names {
  readonly task: (id: string) => string;
  readonly session: (id: string) => string;
}

export function viewOfModel(model: Model): View {
  const tasks: Record<string, TaskView> = {};
  for (const task of model.tasks.values()) {
    tasks[task.name] = {
      ...{ state: task.state, attempt: task.attempt, attemptsMax: task.attemptsMax, crashes: task.crashes },
      ...{ accepted: task.accepted, paused: task.paused, discarded: task.discarded },
      deadlines: deadlines
        .filter((deadline) => task.deadlines.has(deadline))
        .map((deadline) => (task.passed.has(deadline) ? `${deadline}, passed` : deadline)),
      leases: task.leases.map(({ session, settled }) => leaseText(session, settled)),
      ...{ percent: task.percent, checkpoint: task.checkpoint, aged: task.aged, events: [...task.events] },
      dependencies: task.dependencies.map(({ on, policy, waits }) => dependencyText(on, policy, waits)),
    };
  }
  const sessions: Record<string, 'alive' | 'expired'> = {};
  for (const [name, { alive }] of model.sessions) sessions[name] = alive ? 'alive' : 'expired';
  const keys = Object.fromEntries([...model.keys].map(([key, { task }]) => [key, task]));
  const circuits: Record<string, CircuitView> = {};
  for (const [type, circuit] of model.circuits) {
    const { state, by, attempts, failures, probes, probesSucceeded, events } = circuit;
    circuits[type] = {
      ...{ state, by, attempts, failures, probesSucceeded, events: [...events] },
      openTimes: state === 'OPEN' ? (circuit.isDue ? 'enough' : openTimesOf(circuit)) : null,
      probes: probes.map(({ task, attempt }) => probeText(task, attempt)).toSorted(),
    };
  }
  const heldUp = [...model.heldUp].toSorted();
  return { tasks, sessions, keys, line: line(model).map(({ name }) => name), heldUp, circuits };
}

interface Row {
  readonly id: string;
  readonly state: string;
  readonly attempt: number;
  readonly attemptsMax: number;
  readonly crashes: number;
  readonly accepted: boolean;
  readonly paused: boolean;
  readonly discarded: boolean;
  readonly deadlines: Readonly<Record<string, boolean | null>>;
  readonly percent: number | null;
  readonly checkpoint: Uint8Array | null;
  readonly aged: boolean;
  readonly dependencies: readonly { readonly on: string; readonly policy: string; readonly waits: boolean }[] | null;
  readonly events: readonly EventRow[];
}

interface CircuitRow extends Omit<CircuitView, 'probes' | 'events'> {
  readonly type: string;
  readonly isDue: boolean | null;
  readonly probes: readonly { readonly taskId: string; readonly attempt: number }[];
  readonly events: readonly string[] | null;
}

interface EventRow {
  readonly kind: string;
  readonly lease: string | null;
  readonly session: string | null;
  readonly by: string;
}

export async function viewOfDatabase(sql: postgres.Sql, names: Names): Promise<View> {
  const [rows, waiting, sessionRows, keyRows, gateRows, circuitRows] = await Promise.all([
    sql<Row[]>`
      SELECT id, state, attempt, attempts_max AS "attemptsMax", crashes, started_time IS NOT NULL AS accepted,
        paused_time IS NOT NULL AS paused, discarded_time IS NOT NULL AS discarded,
        jsonb_build_object('start', start_deadline <= now(), 'heartbeat', heartbeat_deadline <= now(),
          'run', run_deadline <= now(), 'total', total_deadline <= now(), 'cancel', cancel_deadline <= now()) AS deadlines,
        progress_percent AS percent, checkpoint, COALESCE(finished_time < now() - interval '1 hour', false) AS aged,
        (SELECT jsonb_agg(jsonb_build_object('kind', kind, 'lease', lease_id, 'session', session_id, 'by', actor)
          ORDER BY sequence) FROM task_event WHERE task_id = task.id) AS events,
        (SELECT jsonb_agg(jsonb_build_object('on', depends_on, 'policy', policy, 'waits', waits) ORDER BY position)
          FROM task_dependency WHERE task_id = task.id) AS dependencies
      FROM task`,
    sql<{ id: string }[]>`
      SELECT id FROM task WHERE state = 'PENDING' AND paused_time IS NULL AND available_time <= now()
      ORDER BY priority DESC, available_time, type, id`,
    sql<{ id: string; alive: boolean }[]>`SELECT id, expire_time > now() AS alive FROM worker_session`,
    sql<{ key: string; id: string }[]>`SELECT key, task_id AS id FROM idempotency_key`,
    sql<{ type: string }[]>`SELECT type FROM task_gate WHERE paused_time IS NOT NULL`,
    sql<CircuitRow[]>`
      SELECT task_type.name AS type, COALESCE(circuit, 'CLOSED') AS state, circuit_by AS by,
        probe_time <= now() AS "isDue",
        (extract(epoch FROM probe_time - circuit_time) * 1000 / ${openMs})::float8 AS "openTimes",
        COALESCE(counted.attempts, 0)::int AS attempts, COALESCE(counted.failures, 0)::int AS failures,
        COALESCE(probes, '[]') AS probes, COALESCE(probes_succeeded, 0) AS "probesSucceeded",
        (SELECT jsonb_agg(split_part(kind, '.', 2) || CASE WHEN (data->>'isForced')::boolean THEN ', forced' ELSE '' END
          ORDER BY sequence) FROM system_event WHERE subject = task_type.name AND kind LIKE 'circuit.%') AS events
      FROM task_type LEFT JOIN task_gate ON task_gate.type = task_type.name LEFT JOIN LATERAL (
        SELECT sum((bucket->>'attempts')::int) AS attempts, sum((bucket->>'failures')::int) AS failures
        FROM jsonb_array_elements(buckets) AS bucket
        WHERE (bucket->>'atMs')::float8 > extract(epoch FROM now()) * 1000 - ${windowMs}
      ) AS counted ON true`,
  ]);
  const tasks: Record<string, TaskView> = {};
  for (const row of rows) tasks[names.task(row.id)] = taskView(row, names);
  const sessions: Record<string, 'alive' | 'expired'> = {};
  for (const { id, alive } of sessionRows) sessions[names.session(id)] = alive ? 'alive' : 'expired';
  const keys = Object.fromEntries(keyRows.map(({ key, id }) => [key, names.task(id)]));
  const heldUp = gateRows.map(({ type }) => type || 'every type').toSorted();
  const circuits = Object.fromEntries(circuitRows.map((row) => [row.type, circuitView(row, names)]));
  return { tasks, sessions, keys, line: waiting.map(({ id }) => names.task(id)), heldUp, circuits };
}

function circuitView({ type, isDue, openTimes, probes, events, ...row }: CircuitRow, names: Names): CircuitView {
  return {
    ...row,
    openTimes: isDue === true ? 'enough' : openTimes,
    probes: probes.map(({ taskId, attempt }) => probeText(names.task(taskId), attempt)).toSorted(),
    events: events ?? [],
  };
}

function taskView(row: Row, names: Names): TaskView {
  const given = row.events.filter(({ kind }) => kind === 'leased');
  const isSettled = (lease: string | null) =>
    row.events.some((event) => event.lease === lease && endsLeases.has(event.kind) && !event.by.startsWith('system:'));
  return {
    ...{ state: row.state, attempt: row.attempt, attemptsMax: row.attemptsMax, crashes: row.crashes },
    ...{ accepted: row.accepted, paused: row.paused, discarded: row.discarded },
    deadlines: hasEnded(row)
      ? []
      : deadlines
          .filter((deadline) => row.deadlines[deadline] !== null)
          .map((deadline) => (row.deadlines[deadline] ? `${deadline}, passed` : deadline)),
    leases: given.map(({ lease, session }) => leaseText(names.session(session ?? ''), isSettled(lease))),
    ...{ percent: row.percent, checkpoint: row.checkpoint?.[0] ?? null, aged: row.aged },
    dependencies: (row.dependencies ?? []).map(({ on, policy, waits }) =>
      dependencyText(names.task(on), policy, waits),
    ),
    events: row.events.map(({ kind }) => kind),
  };
}

const endsLeases = new Set(['succeeded', 'retry_scheduled', 'failed', 'released', 'cancelled']);

function leaseText(session: string, settled: boolean): string {
  return settled ? `${session}, settled` : session;
}

function probeText(task: string, attempt: number): string {
  return `${task} attempt ${attempt}`;
}

function dependencyText(on: string, policy: string, waits: boolean): string {
  return `${waits ? 'waits' : 'waited'} for ${on}, or else ${policy}`;
}
