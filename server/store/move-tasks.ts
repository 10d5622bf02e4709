import type { Effect, EventKind } from '../domain/lifecycle.ts';
import type { Payload } from '../domain/payload.ts';
import type { TaskState } from '../domain/task-state.ts';
import { arrayTypeIds } from './array-types.ts';
import { bytes } from './bytes.ts';
import type { Sql } from './database.ts';
import type { StoredError } from './schema.ts';

/** A decided move of a task that is locked in this transaction. */
export interface TaskMove {
  readonly id: string;
  /** What the decision saw; the row must still be there. */
  readonly eventSequence: number;
  readonly state: TaskState;
  readonly attempt: number;
  readonly crashes: number;
  readonly attemptsMax: number;
  /** A mark that is set or taken away. */
  readonly mark: Effect['mark'];
  /** Whether the deadlines begin anew. */
  readonly renews: boolean;
  /** Takes the place of the input; null keeps it. */
  readonly input: Payload | null;
  /** Whether the lease id is forgotten. */
  readonly dropLease: boolean;
  /** Due again after this time; null leaves the due time as it is. */
  readonly retryDelayMs: number | null;
  /** Null keeps the last error. */
  readonly error: StoredError | null;
  /** Of the error. */
  readonly errorFingerprint: string | null;
  /** The worker has this long to stop; null leaves the mark as it is while the task runs, and ends it when not. */
  readonly cancelGraceMs: number | null;
  /** Whether its start is to be written before. */
  readonly starts: boolean;
  readonly event: EventKind;
  readonly actor: string;
  readonly reason: string | null;
  /** For the history: the lease that the move concerns. */
  readonly leaseId: string | null;
  readonly sessionId: string | null;
}

/**
 * Carries out decided moves with their events, by primary key; answers with the ids that were still as the decision
 * saw them.
 */
export async function moveLockedTasks(sql: Sql, moves: readonly TaskMove[]): Promise<Set<string>> {
  if (moves.length === 0) return new Set();
  const rows = await sql<{ id: string }[]>`
    WITH item AS MATERIALIZED (
      SELECT * FROM unnest(
        ${moves.map((m) => m.id)}::uuid[], ${moves.map((m) => m.eventSequence)}::int[],
        ${moves.map((m) => m.state)}::text[]::task_state[], ${moves.map((m) => m.attempt)}::int[],
        ${moves.map((m) => m.crashes)}::smallint[], ${sql.typed(
          moves.map((m) => m.dropLease),
          arrayTypeIds.boolean,
        )}::boolean[],
        ${moves.map((m) => m.retryDelayMs)}::float8[], ${moves.map((m) => m.error && JSON.stringify(m.error))}::jsonb[],
        ${moves.map((m) => m.cancelGraceMs)}::float8[], ${moves.map((m) => m.event)}::text[]::task_event_kind[],
        ${moves.map((m) => m.actor)}::text[], ${moves.map((m) => m.reason)}::text[],
        ${moves.map((m) => m.leaseId)}::uuid[], ${moves.map((m) => m.sessionId)}::uuid[],
        ${moves.map((m) => m.attemptsMax)}::int[], ${moves.map((m) => m.mark)}::text[],
        ${sql.typed(
          moves.map((m) => m.renews),
          arrayTypeIds.boolean,
        )}::boolean[],
        ${bytes(
          sql,
          moves.map((m) => m.input?.data ?? null),
        )}::bytea[],
        ${moves.map((m) => m.input?.contentType ?? null)}::text[], ${moves.map((m) => m.errorFingerprint)}::text[],
        ${sql.typed(
          moves.map((m) => m.starts),
          arrayTypeIds.boolean,
        )}::boolean[]
      ) AS i(id, event_sequence, state, attempt, crashes, drop_lease, retry_delay_ms, error, cancel_grace_ms, event,
        actor, reason, lease_id, session_id, attempts_max, mark, renews, input, input_content_type, error_fingerprint,
        starts)
    ), moved AS (
      UPDATE task SET state = item.state, attempt = item.attempt, crashes = item.crashes,
        attempts_max = item.attempts_max,
        event_sequence = task.event_sequence + CASE WHEN item.starts THEN 2 ELSE 1 END,
        stream_order = GREATEST(task.stream_order, pg_current_xact_id()),
        lease_id = CASE WHEN item.drop_lease THEN NULL ELSE task.lease_id END,
        session_id = CASE WHEN item.drop_lease THEN NULL ELSE task.session_id END,
        started_time = CASE WHEN item.state <> 'PENDING'
          THEN COALESCE(started_time, CASE WHEN item.starts THEN now() END) END,
        run_deadline = CASE WHEN item.state = 'RUNNING' THEN run_deadline END,
        heartbeat_deadline = CASE WHEN item.state = 'RUNNING' THEN heartbeat_deadline END,
        start_deadline = CASE WHEN item.state <> 'PENDING' THEN NULL
          -- Counted from the time when it is due, once it is not blocked any more or begins anew.
          WHEN item.renews OR task.state = 'BLOCKED' THEN start_ms * interval '1 millisecond'
            + GREATEST(available_time, now() + COALESCE(item.retry_delay_ms, 0) * interval '1 millisecond')
          ELSE start_deadline END,
        total_deadline = CASE WHEN item.renews THEN now() + total_ms * interval '1 millisecond' ELSE total_deadline END,
        available_time = COALESCE(now() + item.retry_delay_ms * interval '1 millisecond', available_time),
        finished_time = CASE WHEN item.state IN ('SUCCEEDED', 'FAILED', 'CANCELLED', 'SKIPPED')
          THEN COALESCE(finished_time, now()) END,
        -- What has ended needs no pause.
        paused_time = CASE WHEN item.mark = 'resume' OR item.state IN ('SUCCEEDED', 'FAILED', 'CANCELLED', 'SKIPPED')
          THEN NULL WHEN item.mark = 'pause' THEN now() ELSE paused_time END,
        discarded_time = CASE WHEN item.mark = 'discard' THEN now() ELSE discarded_time END,
        input = COALESCE(item.input, task.input),
        input_content_type = COALESCE(item.input_content_type, task.input_content_type),
        -- Made from another input, it would mislead.
        checkpoint = CASE WHEN item.input IS NULL THEN checkpoint END,
        error = COALESCE(item.error, task.error),
        error_fingerprint = COALESCE(item.error_fingerprint, task.error_fingerprint),
        -- Those whose policy is to wait until it is mended are to hear of its next end.
        has_dependents = CASE WHEN task.state <> 'FAILED' THEN has_dependents
          ELSE EXISTS (SELECT 1 FROM task_dependency d WHERE d.depends_on = task.id AND d.waits OFFSET 0) END,
        cancel_deadline = CASE WHEN item.state = 'RUNNING'
          THEN COALESCE(now() + item.cancel_grace_ms * interval '1 millisecond', cancel_deadline) END,
        cancel_reason = CASE WHEN item.cancel_grace_ms IS NULL THEN cancel_reason ELSE item.reason END
      FROM item WHERE task.id = item.id AND task.event_sequence = item.event_sequence
      RETURNING task.id, task.event_sequence, task.namespace, task.type, task.state, task.attempt, task.stream_order
    )
    INSERT INTO task_event (task_id, sequence, namespace, type, kind, state, attempt, actor, lease_id, session_id, error,
      reason, retry_delay_ms, stream_order)
    SELECT moved.id, moved.event_sequence, namespace, type, item.event, moved.state,
      -- An attempt that is given back is still the one that the event is about.
      moved.attempt + CASE WHEN item.event = 'released' THEN 1 ELSE 0 END,
      item.actor, item.lease_id, item.session_id, item.error, item.reason, item.retry_delay_ms, moved.stream_order
    FROM moved JOIN item USING (id)
    UNION ALL
    SELECT moved.id, moved.event_sequence - 1, namespace, type, 'started', 'RUNNING',
      moved.attempt + CASE WHEN item.event = 'released' THEN 1 ELSE 0 END,
      item.actor, item.lease_id, item.session_id, NULL, NULL, NULL, moved.stream_order
    FROM moved JOIN item USING (id) WHERE item.starts
    RETURNING task_id AS id`;
  return new Set(rows.map((row) => row.id));
}
