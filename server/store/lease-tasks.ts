import type { Fence } from '../domain/ids.ts';
import { parseLeaseId, parseTaskId } from '../domain/ids.ts';
import { priorityMax } from '../domain/limits.ts';
import { allowedWants, type Want } from './allowance.ts';
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
}

/**
 * Locks the first due tasks of each type that may be leased and that nobody else is about to lease.
 *
 * Index `task_pending` holds the tasks of one type and priority by the time they are due, so each priority is one short
 * range scan that stops at the first task that is not due yet: a million waiting or delayed tasks cost nothing. Equal
 * conditions on the priority, rather than an order by it, keep delayed tasks of a high priority out of the way.
 */
export function lockDueTasks(sql: Sql, wants: readonly Want[]): Promise<DueTask[]> {
  return sql<DueTask[]>`
    WITH want AS MATERIALIZED (${allowedWants(sql, wants)})
    SELECT due.id, want.namespace, want.type, due.priority, due.available_ms AS "availableMs", due.attempt
    FROM want
    CROSS JOIN LATERAL (
      SELECT found.* FROM generate_series(${priorityMax}::int, 0, -1) AS level(priority)
      CROSS JOIN LATERAL (
        SELECT id, task.priority, extract(epoch FROM available_time)::float8 * 1000 AS available_ms, attempt FROM task
        WHERE task.namespace = want.namespace AND task.type = want.type AND task.priority = level.priority
          AND state = 'PENDING' AND paused_time IS NULL AND available_time <= now()
        ORDER BY available_time, id
        LIMIT want.tasks_max
        FOR UPDATE SKIP LOCKED
      ) AS found
      LIMIT want.tasks_max
    ) AS due`;
}

export interface NewLease {
  readonly taskId: string;
  readonly leaseId: string;
  readonly sessionId: string;
  /** Who holds the session. */
  readonly actor: string;
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
  readonly input: Uint8Array;
  readonly inputContentType: string;
  readonly checkpoint: Uint8Array | null;
}

/**
 * Leases tasks that are PENDING to sessions that are alive; the others are missing from the answer. The share lock on
 * the sessions makes a sweep of one of them wait, so that no lease is left with a session that is gone.
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
      input: Uint8Array;
      input_content_type: string;
      checkpoint: Uint8Array | null;
    }[]
  >`
    WITH alive AS MATERIALIZED (
      SELECT id FROM worker_session
      WHERE id = ANY(${[...new Set(leases.map((lease) => lease.sessionId))]}::uuid[]) AND expire_time > now()
      ORDER BY id FOR KEY SHARE
    ), leased AS (
      UPDATE task SET state = 'RUNNING', attempt = attempt + 1, event_sequence = event_sequence + 1,
        lease_id = item.lease_id, session_id = item.session_id, started_time = NULL, start_deadline = NULL,
        run_deadline = now() + run_ms * interval '1 millisecond',
        heartbeat_deadline = now() + heartbeat_ms * interval '1 millisecond', progress_percent = NULL, progress_message = NULL
      FROM unnest(
        ${leases.map((lease) => lease.taskId)}::uuid[], ${leases.map((lease) => lease.leaseId)}::uuid[],
        ${leases.map((lease) => lease.sessionId)}::uuid[], ${leases.map((lease) => lease.actor)}::text[]
      ) AS item(id, lease_id, session_id, actor)
      -- As text, so that only the primary key serves, and not an index of all that waits.
      WHERE task.id = item.id AND state::text = 'PENDING' AND paused_time IS NULL
        AND item.session_id IN (SELECT id FROM alive)
      RETURNING task.*, item.actor
    ), recorded AS (
      INSERT INTO task_event (task_id, sequence, namespace, type, kind, state, attempt, actor, lease_id, session_id)
      SELECT id, event_sequence, namespace, type, 'leased', 'RUNNING', attempt, actor, lease_id, session_id FROM leased
    )
    SELECT id, attempt, lease_id, session_id, namespace, type, priority, attempts_max, labels,
      extract(epoch FROM create_time)::float8 * 1000 AS create_ms, run_ms, input, input_content_type, checkpoint
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
    input: row.input,
    inputContentType: row.input_content_type,
    checkpoint: row.checkpoint,
  }));
}
