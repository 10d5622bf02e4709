import type { Fence } from '../domain/ids.ts';
import { parseLeaseId, parseTaskId } from '../domain/ids.ts';
import { allowedWants, type Want } from './allowance.ts';
import { arrayTypeIds } from './array-types.ts';
import type { Sql } from './database.ts';

/** A due task, locked until the transaction ends. */
export interface DueTask {
  readonly id: string;
  readonly namespace: string;
  readonly type: string;
  readonly priority: number;
  readonly availableMs: number;
  /** The last one; the next lease is for the one after it. */
  readonly attempt: number;
  /** Whether its circuit only lets probes through, and is locked, too. */
  readonly isProbe: boolean;
}

/** A wanted type whose due tasks are not simply the next ones; see `limited_type`. */
export interface LimitedType extends Want {
  /** Whether this transaction may lease tasks of it: false while another one does. */
  readonly isOurs: boolean;
  /** Whether there may be leases that do not count yet. */
  readonly adopts: boolean;
}

/** Nothing of this priority is looked for that became due earlier; null is those that no other start is for. */
export interface QueueStart {
  readonly namespace: string;
  readonly type: string;
  readonly priority: number | null;
  readonly fromMs: number;
}

/** A type of which a look has found all that was due at that time by Postgres' clock, apart from what others had locked. */
export interface ExhaustedType {
  readonly namespace: string;
  readonly type: string;
  readonly nowMs: number;
}

/**
 * Locks the first due tasks of each type that may be leased and that nobody else is about to lease, apart from types
 * with limits: those are answered by name, and their rows of `limited_type` are locked where they have any, so that what the next statements
 * count and take does not change until the transaction ends.
 *
 * Index `task_pending` holds the tasks of one type, key and priority by the time they are due, so each priority is one
 * short range scan that stops at the first task that is not due yet: a million waiting or delayed tasks cost nothing.
 * Equal conditions on the priority, rather than an order by it, keep delayed tasks of a high priority out of the way.
 * The highest that waits is looked up first, so that a type of which nothing waits costs one look. The number of levels
 * is written out: as a parameter it has the planner expect a thousand of them, and plan anew for each claim.
 *
 * With `starts`, which may be none yet, it also tells which types are exhausted, so that the next ones can be known.
 */
export async function lockDueTasks(
  sql: Sql,
  wants: readonly Want[],
  starts?: readonly QueueStart[],
): Promise<{
  readonly due: readonly DueTask[];
  readonly limited: readonly LimitedType[];
  readonly exhausted: readonly ExhaustedType[];
}> {
  const rows = await sql<DueRow[]>`
    WITH want AS MATERIALIZED (${allowedWants(sql, wants, { forClaim: true })})
    SELECT due.id, want.namespace, want.type, want.tasks_max AS "tasksMax", due.priority, due.available_ms AS "availableMs", due.attempt,
      want.is_probing AS "isProbe", limited.adopts, claim.is_ours OR NOT limited.is_exclusive AS "isOurs"
      ${starts === undefined ? sql`` : sql`, extract(epoch FROM now())::float8 * 1000 AS "nowMs"`}
    FROM want
    LEFT JOIN LATERAL (
      SELECT adopt_time IS NOT NULL AS adopts,
        num_nonnulls(concurrency_max, concurrency_per_key_max, rate_per_s, key_rate_per_s) > 0 AS is_exclusive
      FROM limited_type WHERE limited_type.namespace = want.namespace AND limited_type.type = want.type
    ) AS limited ON true
    LEFT JOIN LATERAL (
      SELECT true AS is_ours FROM limited_type
      WHERE limited.is_exclusive AND limited_type.namespace = want.namespace AND limited_type.type = want.type
      FOR UPDATE SKIP LOCKED
    ) AS claim ON true
    LEFT JOIN LATERAL (
      SELECT found.* FROM (${highestPriority(sql, starts ?? [])}) AS highest
      JOIN generate_series(9, 0, -1) AS level(priority) ON level.priority <= highest.priority
      CROSS JOIN LATERAL (
        SELECT id, task.priority, extract(epoch FROM available_time)::float8 * 1000 AS available_ms, attempt FROM task
        WHERE task.namespace = want.namespace AND task.type = want.type AND limit_key = ''
          AND task.priority = level.priority
          AND state = 'PENDING' AND paused_time IS NULL AND available_time <= now() ${notBefore(sql, starts ?? [])}
        ORDER BY available_time, id
        LIMIT want.tasks_max
        FOR UPDATE SKIP LOCKED
      ) AS found
      WHERE limited.adopts IS NULL
      LIMIT want.tasks_max
    ) AS due ON true
    ${starts === undefined ? sql`WHERE due.id IS NOT NULL OR limited.adopts IS NOT NULL` : sql``}`;
  const due: DueTask[] = [];
  const limited: LimitedType[] = [];
  for (const row of rows) {
    if (row.id !== null) due.push(row);
    else if (row.adopts !== null) limited.push({ ...row, isOurs: row.isOurs === true });
  }
  return { due, limited, exhausted: starts === undefined ? [] : exhaustedOf(rows) };
}

/** A due task, a type with limits, or a type that is neither due nor limited, where it was asked whether it is exhausted. */
type DueRow = Want & { readonly nowMs?: number } & (
    | (DueTask & { readonly adopts: null; readonly isOurs: null })
    | (LimitedType & { readonly id: null })
    | { readonly id: null; readonly adopts: null }
  );

/** Those with fewer rows than were asked for. */
function exhaustedOf(rows: readonly DueRow[]): ExhaustedType[] {
  const plain = rows.filter(({ adopts }) => adopts === null);
  return [...Map.groupBy(plain, ({ namespace, type }) => `${namespace}/${type}`).values()].flatMap((ofType) => {
    const [first] = ofType;
    const count = ofType.filter(({ id }) => id !== null).length;
    if (first?.nowMs === undefined || count >= first.tasksMax) return [];
    return { namespace: first.namespace, type: first.type, nowMs: first.nowMs };
  });
}

/** The look for it would step over all that is dead in front of the queue, so that it is left out where that is much. */
function highestPriority(sql: Sql, starts: readonly QueueStart[]) {
  if (starts.length > 0) return sql`SELECT 9 AS priority`;
  return sql`SELECT task.priority FROM task
    WHERE task.namespace = want.namespace AND task.type = want.type AND limit_key = ''
      AND state = 'PENDING' AND paused_time IS NULL
    ORDER BY task.priority DESC LIMIT 1`;
}

/** Once for each priority, before its scan. */
function notBefore(sql: Sql, starts: readonly QueueStart[]) {
  if (starts.length === 0) return sql``;
  return sql`AND available_time >= COALESCE((
    SELECT to_timestamp(start.from_ms / 1000)
    FROM unnest(
      ${starts.map((s) => s.namespace)}::text[], ${starts.map((s) => s.type)}::text[],
      ${starts.map((s) => s.priority)}::int[], ${starts.map((s) => s.fromMs)}::float8[]
    ) AS start(namespace, type, priority, from_ms)
    WHERE start.namespace = want.namespace AND start.type = want.type
      AND (start.priority = level.priority OR start.priority IS NULL)
    ORDER BY start.priority LIMIT 1
  ), '-infinity')`;
}

export interface NewLease {
  readonly taskId: string;
  readonly leaseId: string;
  readonly sessionId: string;
  /** Who holds the session. */
  readonly actor: string;
  /** Whether it counts for a limit on concurrency. */
  readonly counted: boolean;
}

/** A lease that was given, with what its worker needs. */
export interface LeasedTask {
  readonly fence: Fence;
  readonly sessionId: string;
  readonly namespace: string;
  readonly type: string;
  readonly priority: number;
  readonly attemptsMax: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly createTime: Date;
  readonly runMs: number;
  /** Null is the node's. */
  readonly deliveryMs: number | null;
  /** Null is not watched. */
  readonly heartbeatMs: number | null;
  readonly input: Uint8Array;
  readonly inputContentType: string;
  readonly checkpoint: Uint8Array | null;
  /** The `traceparent` of its submission; null without one. */
  readonly traceParent: string | null;
  /** How many tasks it depends on. */
  readonly dependencyCount: number;
  /** Whether it tries if the type works again: its circuit is half open. */
  readonly isProbe: boolean;
}

/**
 * Leases tasks that are PENDING to sessions that are alive and not drained; the others are missing from the answer. The
 * share lock on the sessions makes a sweep of one of them wait, so that no lease is left with a session that is gone. What is
 * leased of a type whose circuit is not closed is noted in its gate as a probe; `task_gate_shut` has those, mostly none.
 */
export async function leasePendingTasks(sql: Sql, leases: readonly NewLease[]): Promise<LeasedTask[]> {
  const rows = await sql<
    {
      id: string;
      attempt: number;
      lease_id: string;
      session_id: string;
      namespace: string;
      type: string;
      priority: number;
      attempts_max: number;
      labels: Record<string, string>;
      create_ms: number;
      run_ms: string;
      delivery_ms: string | null;
      heartbeat_ms: string | null;
      input: Uint8Array;
      input_content_type: string;
      checkpoint: Uint8Array | null;
      trace_parent: string | null;
      dependency_count: number;
      is_probe: boolean;
    }[]
  >`
    WITH alive AS MATERIALIZED (
      SELECT id FROM worker_session
      WHERE id = ANY(${[...new Set(leases.map((lease) => lease.sessionId))]}::uuid[]) AND expire_time > now()
        AND drain_time IS NULL
      ORDER BY id FOR KEY SHARE
    ), leased AS (
      UPDATE task SET state = 'RUNNING', attempt = attempt + 1, event_sequence = event_sequence + 1,
        stream_order = GREATEST(stream_order, pg_current_xact_id()),
        lease_id = item.lease_id, session_id = item.session_id, counted = item.counted, started_time = NULL, start_deadline = NULL,
        run_deadline = now() + run_ms * interval '1 millisecond',
        heartbeat_deadline = now() + heartbeat_ms * interval '1 millisecond', progress_percent = NULL, progress_message = NULL
      FROM unnest(
        ${leases.map((lease) => lease.taskId)}::uuid[], ${leases.map((lease) => lease.leaseId)}::uuid[],
        ${leases.map((lease) => lease.sessionId)}::uuid[], ${leases.map((lease) => lease.actor)}::text[],
        ${sql.typed(
          leases.map((lease) => lease.counted),
          arrayTypeIds.boolean,
        )}::boolean[]
      ) AS item(id, lease_id, session_id, actor, counted)
      -- As text, so that only the primary key serves, and not an index of all that waits.
      WHERE task.id = item.id AND state::text = 'PENDING' AND paused_time IS NULL
        AND item.session_id IN (SELECT id FROM alive)
      RETURNING task.*, item.actor
    ), recorded AS (
      INSERT INTO task_event (task_id, sequence, namespace, type, kind, state, attempt, actor, lease_id, session_id,
        stream_order)
      SELECT id, event_sequence, namespace, type, 'leased', 'RUNNING', attempt, actor, lease_id, session_id, stream_order
      FROM leased
    ), probed AS (
      UPDATE task_gate AS gate SET circuit = 'HALF_OPEN', probe_time = NULL,
        circuit_time = CASE WHEN circuit = 'HALF_OPEN' THEN circuit_time ELSE now() END,
        circuit_by = 'system:circuit', circuit_reason = 'probes are leased',
        probes = gate.probes || (
          SELECT jsonb_agg(jsonb_build_object('taskId', id, 'attempt', attempt, 'leaseId', lease_id))
          FROM leased WHERE leased.namespace = gate.namespace AND leased.type = gate.type
        )
      WHERE (paused_time IS NOT NULL OR circuit <> 'CLOSED')
        AND (circuit = 'HALF_OPEN' OR circuit = 'OPEN' AND probe_time <= now())
        AND EXISTS (SELECT 1 FROM leased WHERE leased.namespace = gate.namespace AND leased.type = gate.type)
      RETURNING gate.namespace, gate.type
    )
    SELECT id, attempt, lease_id, session_id, namespace, type, priority, attempts_max, labels,
      extract(epoch FROM create_time)::float8 * 1000 AS create_ms, run_ms, delivery_ms, heartbeat_ms, input,
      input_content_type, checkpoint, trace_parent, dependency_count,
      EXISTS (SELECT 1 FROM probed WHERE probed.namespace = leased.namespace AND probed.type = leased.type) AS is_probe
    FROM leased`;
  return rows.map((row) => ({
    fence: { taskId: parseTaskId(row.id), attempt: row.attempt, leaseId: parseLeaseId(row.lease_id) },
    sessionId: row.session_id,
    namespace: row.namespace,
    type: row.type,
    priority: row.priority,
    attemptsMax: row.attempts_max,
    labels: row.labels,
    createTime: new Date(row.create_ms),
    runMs: Number(row.run_ms),
    deliveryMs: row.delivery_ms === null ? null : Number(row.delivery_ms),
    heartbeatMs: row.heartbeat_ms === null ? null : Number(row.heartbeat_ms),
    input: row.input,
    inputContentType: row.input_content_type,
    checkpoint: row.checkpoint,
    traceParent: row.trace_parent,
    dependencyCount: row.dependency_count,
    isProbe: row.is_probe,
  }));
}
