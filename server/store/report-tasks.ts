import { type Fence, parseLeaseId, parseTaskId } from '../domain/ids.ts';
import { bytes } from './bytes.ts';
import type { Sql } from './database.ts';

/**
 * A report's fence and where it comes from.
 *
 * The state is compared as text, so that only the primary key serves: otherwise the planner likes to find each report's
 * task among all that are RUNNING, by index `task_running`, when its statistics are from a quiet moment. Every statement
 * locks its tasks in the order of their ids, so that two with the same tasks wait for each other instead of locking each
 * other out. The first list of each statement stands in a select of its own, so that the plan is kept (decision 13).
 */
export interface Reporter {
  readonly fence: Fence;
  readonly sessionId: string;
  readonly actor: string;
}

/**
 * Marks RUNNING leases as accepted, for fences that are current; answers with the ids of those that were. The start is
 * `ago` in the past, because accepts wait for company.
 */
export async function acceptCurrentLeases(
  sql: Sql,
  reports: readonly (Reporter & { readonly agoMs: number })[],
): Promise<Set<string>> {
  const rows = await sql<{ lease_id: string }[]>`
    WITH current AS (
      SELECT task.id, item.actor, item.ago_ms
      FROM unnest(
        (SELECT ${reports.map((r) => r.fence.taskId)}::uuid[]), ${reports.map((r) => r.fence.attempt)}::int[],
        ${reports.map((r) => r.fence.leaseId)}::uuid[], ${reports.map((r) => r.sessionId)}::uuid[],
        ${reports.map((r) => r.actor)}::text[], ${reports.map((r) => r.agoMs)}::float8[]
      ) AS item(id, attempt, lease_id, session_id, actor, ago_ms)
      JOIN task ON task.id = item.id AND task.attempt = item.attempt AND task.lease_id = item.lease_id
        AND task.session_id = item.session_id AND state::text = 'RUNNING' AND started_time IS NULL
      ORDER BY task.id
      FOR UPDATE OF task
    ), accepted AS (
      UPDATE task SET started_time = now() - current.ago_ms * interval '1 millisecond',
        event_sequence = event_sequence + 1, stream_order = GREATEST(stream_order, pg_current_xact_id())
      FROM current WHERE task.id = current.id
      RETURNING task.*, current.actor
    ), recorded AS (
      INSERT INTO task_event (task_id, sequence, namespace, type, kind, state, attempt, actor, lease_id, session_id,
        stream_order)
      SELECT id, event_sequence, namespace, type, 'started', 'RUNNING', attempt, actor, lease_id, session_id, stream_order
      FROM accepted
    )
    SELECT lease_id FROM accepted`;
  return new Set(rows.map((row) => row.lease_id));
}

export interface Success extends Reporter {
  readonly output: Uint8Array;
  readonly outputContentType: string;
  /** How long ago the worker accepted, for when that is not yet written: it has begun what it ends. */
  readonly acceptedAgoMs: number;
}

export interface RecordedSuccess extends Pick<Reporter, 'fence' | 'sessionId'> {
  /** Whether other tasks are to hear of it. */
  readonly hasDependents: boolean;
  /** The type whose limit on concurrency it counted for, if any. */
  readonly countedOf: { readonly namespace: string; readonly type: string } | undefined;
}

/**
 * Records results for fences that are current, by primary key, with the start of those that have none yet; answers with
 * those that were recorded. One report of each fence.
 */
export async function succeedCurrentLeases(sql: Sql, reports: readonly Success[]): Promise<RecordedSuccess[]> {
  const rows = await sql<
    {
      id: string;
      attempt: number;
      lease_id: string;
      session_id: string;
      namespace: string | null;
      type: string | null;
      has_dependents: boolean;
    }[]
  >`
    WITH item AS MATERIALIZED (
      SELECT * FROM unnest(
        (SELECT ${reports.map((r) => r.fence.taskId)}::uuid[]), ${reports.map((r) => r.fence.attempt)}::int[],
        ${reports.map((r) => r.fence.leaseId)}::uuid[], ${reports.map((r) => r.sessionId)}::uuid[],
        ${reports.map((r) => r.actor)}::text[], ${bytes(
          sql,
          reports.map((r) => r.output),
        )}::bytea[],
        ${reports.map((r) => r.outputContentType)}::text[], ${reports.map((r) => r.acceptedAgoMs)}::float8[]
      ) AS item(id, attempt, lease_id, session_id, actor, output, output_content_type, accepted_ago_ms)
    ), before AS (
      SELECT task.id, item.lease_id, item.actor, item.output, item.output_content_type,
        CASE WHEN started_time IS NULL THEN item.accepted_ago_ms END AS late_accept_ms, task.event_sequence
      FROM item JOIN task ON task.id = item.id AND task.attempt = item.attempt AND task.lease_id = item.lease_id
        AND task.session_id = item.session_id AND task.state::text = 'RUNNING'
      ORDER BY task.id
      FOR UPDATE OF task
    ), succeeded AS (
      UPDATE task SET state = 'SUCCEEDED', finished_time = now(), output = before.output,
        output_content_type = before.output_content_type, cancel_deadline = NULL, paused_time = NULL,
        started_time = COALESCE(started_time, now() - before.late_accept_ms * interval '1 millisecond'),
        event_sequence = before.event_sequence + CASE WHEN before.late_accept_ms IS NULL THEN 1 ELSE 2 END,
        stream_order = GREATEST(stream_order, pg_current_xact_id())
      FROM before WHERE task.id = before.id
      RETURNING task.id, task.event_sequence, task.namespace, task.type, task.attempt, task.lease_id, task.session_id,
        task.counted, task.has_dependents, task.stream_order, before.actor, before.late_accept_ms
    ), recorded AS (
      INSERT INTO task_event (task_id, sequence, namespace, type, kind, state, attempt, actor, lease_id, session_id,
        stream_order)
      SELECT id, event_sequence, namespace, type, 'succeeded'::task_event_kind, 'SUCCEEDED'::task_state, attempt, actor,
        lease_id, session_id, stream_order
      FROM succeeded
      UNION ALL
      SELECT id, event_sequence - 1, namespace, type, 'started', 'RUNNING', attempt, actor, lease_id, session_id,
        stream_order
      FROM succeeded WHERE late_accept_ms IS NOT NULL
    )
    SELECT id, attempt, lease_id, session_id, CASE WHEN counted THEN namespace END AS namespace,
      CASE WHEN counted THEN type END AS type, has_dependents
    FROM succeeded`;
  return rows.map(({ id, attempt, lease_id: leaseId, session_id: sessionId, namespace, type, ...row }) => ({
    fence: { taskId: parseTaskId(id), attempt, leaseId: parseLeaseId(leaseId) },
    sessionId,
    countedOf: namespace === null || type === null ? undefined : { namespace, type },
    hasDependents: row.has_dependents,
  }));
}

export interface ProgressReport extends Reporter {
  readonly percent: number;
  readonly message: string;
  /** Null keeps the last one. */
  readonly checkpoint: Uint8Array | null;
}

/** Stores progress for fences that are current, by primary key; stale ones change nothing. */
export async function storeCurrentProgress(sql: Sql, reports: readonly ProgressReport[]): Promise<Set<string>> {
  const rows = await sql<{ lease_id: string }[]>`
    WITH current AS (
      SELECT task.id, item.percent, item.message, item.checkpoint
      FROM unnest(
        (SELECT ${reports.map((r) => r.fence.taskId)}::uuid[]), ${reports.map((r) => r.fence.attempt)}::int[],
        ${reports.map((r) => r.fence.leaseId)}::uuid[], ${reports.map((r) => r.sessionId)}::uuid[],
        ${reports.map((r) => r.percent)}::real[], ${reports.map((r) => r.message)}::text[],
        ${bytes(
          sql,
          reports.map((r) => r.checkpoint),
        )}::bytea[]
      ) AS item(id, attempt, lease_id, session_id, percent, message, checkpoint)
      JOIN task ON task.id = item.id AND task.attempt = item.attempt AND task.lease_id = item.lease_id
        AND task.session_id = item.session_id AND state::text = 'RUNNING'
      ORDER BY task.id
      FOR UPDATE OF task
    )
    UPDATE task SET progress_percent = current.percent, progress_message = current.message,
      checkpoint = COALESCE(current.checkpoint, task.checkpoint),
      heartbeat_deadline = now() + heartbeat_ms * interval '1 millisecond'
    FROM current WHERE task.id = current.id
    RETURNING task.lease_id`;
  return new Set(rows.map((row) => row.lease_id));
}

/** A task that was reported on in vain. */
export interface ReportedTask {
  /** Position of the fence that was asked about, from 0. */
  readonly index: number;
  readonly leaseId: string;
  readonly type: string;
  /** Whether the same lease has ended the attempt before, by a report. */
  readonly settled: boolean;
}

/** What a report in vain came from. */
export interface VainReport extends Pick<Reporter, 'fence' | 'sessionId'> {
  readonly namespace: string;
}

/** Looks at the history for what earlier reports of leases did; by primary keys. Unknown tasks are missing. */
export function selectReportedTasks(sql: Sql, items: readonly VainReport[]): Promise<ReportedTask[]> {
  return sql<ReportedTask[]>`
    SELECT item.ord::int - 1 AS index, item.lease_id AS "leaseId", task.type, EXISTS (
        SELECT 1 FROM task_event e
        WHERE e.task_id = task.id AND e.time >= task.create_time AND e.lease_id = item.lease_id
          AND e.session_id = item.session_id AND e.attempt = item.attempt
          AND e.kind IN ('succeeded', 'retry_scheduled', 'failed', 'released', 'cancelled')
          -- Not by a part of the coordinator. Principals have a host behind an @, those of Kubernetes begin with the same word.
          AND e.actor !~ '^system:[a-z]+$'
      ) AS settled
    FROM unnest(
      ${items.map((i) => i.namespace)}::text[], ${items.map((i) => i.fence.taskId)}::uuid[],
      ${items.map((i) => i.fence.attempt)}::int[], ${items.map((i) => i.fence.leaseId)}::uuid[],
      ${items.map((i) => i.sessionId)}::uuid[]
    ) WITH ORDINALITY AS item(namespace, id, attempt, lease_id, session_id, ord)
    JOIN task ON task.id = item.id AND task.namespace = item.namespace`;
}
