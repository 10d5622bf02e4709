import type { TaskFacts } from '../domain/decide.ts';
import type { RetryPolicy } from '../domain/retry.ts';
import type { TaskState } from '../domain/task-state.ts';
import type { Sql } from './database.ts';
import type { Reporter } from './report-tasks.ts';

/** A locked task: what a decision about it needs. */
export interface LockedTask extends TaskFacts {
  readonly id: string;
  readonly namespace: string;
  readonly type: string;
  readonly leaseId: string | null;
  readonly sessionId: string | null;
  readonly eventSequence: number;
  /** Whether its lease, if it has one, counts for a limit on concurrency. */
  readonly counted: boolean;
  /** Null is the default policy. */
  readonly retryPolicy: RetryPolicy | null;
  /** Whether other tasks are to hear of its end. */
  readonly hasDependents: boolean;
  /** Whether it depends on other tasks. */
  readonly isDependent: boolean;
}

/** A locked task with the deadline that has passed. */
export interface OverdueTask extends LockedTask {
  readonly passed: 'start' | 'heartbeat' | 'run' | 'total' | 'cancel';
}

interface LockedRow {
  readonly id: string;
  readonly namespace: string;
  readonly type: string;
  readonly state: TaskState;
  readonly accepted: boolean;
  readonly cancel_requested: boolean;
  readonly attempt: number;
  readonly attempts_max: number;
  readonly crashes: number;
  readonly paused: boolean;
  readonly discarded: boolean;
  readonly lease_id: string | null;
  readonly session_id: string | null;
  readonly event_sequence: number;
  readonly counted: boolean;
  readonly retry_policy: RetryPolicy | null;
  readonly has_dependents: boolean;
  readonly is_dependent: boolean;
}

const columns = (sql: Sql) => sql`
  task.id, task.namespace, task.type, task.state, task.started_time IS NOT NULL AS accepted,
  task.cancel_deadline IS NOT NULL AS cancel_requested, task.attempt, task.attempts_max, task.crashes,
  task.paused_time IS NOT NULL AS paused, task.discarded_time IS NOT NULL AS discarded, task.lease_id, task.session_id,
  task.event_sequence, task.counted, task.retry_policy, task.has_dependents,
  task.dependency_count > 0 AS is_dependent`;

/** Locks the RUNNING tasks whose fences are current, by primary key (see `Reporter`) and in its order. */
export async function lockCurrentLeases(sql: Sql, reports: readonly Reporter[]): Promise<LockedTask[]> {
  const rows = await sql<LockedRow[]>`
    SELECT ${columns(sql)}
    FROM unnest(
      (SELECT ${reports.map((r) => r.fence.taskId)}::uuid[]), ${reports.map((r) => r.fence.attempt)}::int[],
      ${reports.map((r) => r.fence.leaseId)}::uuid[], ${reports.map((r) => r.sessionId)}::uuid[]
    ) AS item(id, attempt, lease_id, session_id)
    JOIN task ON task.id = item.id AND task.attempt = item.attempt AND task.lease_id = item.lease_id
      AND task.session_id = item.session_id AND task.state::text = 'RUNNING'
    ORDER BY task.id
    FOR UPDATE OF task`;
  return rows.map(lockedTask);
}

/** Locks tasks of one namespace, by primary key and in its order. */
export async function lockTasks(sql: Sql, namespace: string, ids: readonly string[]): Promise<LockedTask[]> {
  const rows = await sql<LockedRow[]>`
    SELECT ${columns(sql)} FROM task WHERE id = ANY(${ids}::uuid[]) AND namespace = ${namespace}
    ORDER BY id FOR UPDATE`;
  return rows.map(lockedTask);
}

/** Locks tasks that were found in the database, by primary key and in its order. */
export async function lockTasksOfAnyNamespace(sql: Sql, ids: readonly string[]): Promise<LockedTask[]> {
  const rows = await sql<LockedRow[]>`
    SELECT ${columns(sql)} FROM task WHERE id = ANY(${ids}::uuid[]) ORDER BY id FOR UPDATE`;
  return rows.map(lockedTask);
}

/** Reads the same of tasks of one namespace without a lock, by primary key. */
export async function selectUnlockedTasks(sql: Sql, namespace: string, ids: readonly string[]): Promise<LockedTask[]> {
  const rows = await sql<LockedRow[]>`
    SELECT ${columns(sql)} FROM task WHERE id = ANY(${ids}::uuid[]) AND namespace = ${namespace} ORDER BY id`;
  return rows.map(lockedTask);
}

/** Locks leases of sessions, by index `task_running`; those that somebody else has locked are left for the next time. */
export async function lockLeasesOfSessions(
  sql: Sql,
  sessionIds: readonly string[],
  tasksMax: number,
): Promise<LockedTask[]> {
  const rows = await sql<LockedRow[]>`
    SELECT ${columns(sql)} FROM task WHERE session_id = ANY(${sessionIds}::uuid[]) AND state = 'RUNNING'
    LIMIT ${tasksMax} FOR UPDATE SKIP LOCKED`;
  return rows.map(lockedTask);
}

/**
 * Locks tasks whose next deadline has passed, oldest first, by index `task_timer`. Without `heartbeats`, silence alone is
 * forgiven.
 */
export async function lockOverdueTasks(
  sql: Sql,
  options: { readonly tasksMax: number; readonly heartbeats: boolean },
): Promise<OverdueTask[]> {
  const rows = await sql<(LockedRow & { passed: OverdueTask['passed'] })[]>`
    SELECT ${columns(sql)}, CASE
        WHEN total_deadline <= now() THEN 'total'
        WHEN cancel_deadline <= now() THEN 'cancel'
        WHEN run_deadline <= now() THEN 'run'
        WHEN heartbeat_deadline <= now() THEN 'heartbeat'
        ELSE 'start' END AS passed
    FROM task
    WHERE state IN ('BLOCKED', 'PENDING', 'RUNNING')
      AND LEAST(start_deadline, run_deadline, total_deadline, cancel_deadline, heartbeat_deadline) <= now()
      AND (${options.heartbeats}::boolean OR LEAST(start_deadline, run_deadline, total_deadline, cancel_deadline) <= now())
    ORDER BY LEAST(start_deadline, run_deadline, total_deadline, cancel_deadline, heartbeat_deadline)
    LIMIT ${options.tasksMax} FOR UPDATE SKIP LOCKED`;
  return rows.map((row) => ({ ...lockedTask(row), passed: row.passed }));
}

function lockedTask(row: LockedRow): LockedTask {
  return {
    id: row.id,
    namespace: row.namespace,
    type: row.type,
    state: row.state,
    accepted: row.accepted,
    cancelRequested: row.cancel_requested,
    attempt: row.attempt,
    attemptsMax: row.attempts_max,
    crashes: row.crashes,
    paused: row.paused,
    discarded: row.discarded,
    leaseId: row.lease_id,
    sessionId: row.session_id,
    eventSequence: row.event_sequence,
    counted: row.counted,
    retryPolicy: row.retry_policy,
    hasDependents: row.has_dependents,
    isDependent: row.is_dependent,
  };
}
