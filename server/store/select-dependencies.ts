import type { DependencyPolicy } from '../domain/dependency.ts';
import type { Fence } from '../domain/ids.ts';
import type { TaskState } from '../domain/task-state.ts';
import type { Sql } from './database.ts';
import type { StoredError } from './schema.ts';

/** What a task depends on, as it is now. Type and state are null once it has outlived its retention. */
export interface DependencyRow {
  readonly taskId: string;
  readonly policy: DependencyPolicy;
  readonly waits: boolean;
  readonly type: string | null;
  readonly state: TaskState | null;
}

/** Reads what a task depends on, in the order of its submission; by primary keys. */
export function selectDependencies(sql: Sql, taskId: string): Promise<DependencyRow[]> {
  return sql<DependencyRow[]>`
    SELECT d.depends_on AS "taskId", d.policy, d.waits, task.type, task.state
    FROM task_dependency d LEFT JOIN task ON task.id = d.depends_on
    WHERE d.task_id = ${taskId} ORDER BY d.position`;
}

/** Those of the tasks that wait for anything, by index `task_dependency_waiting`. */
export async function selectWaitingTasks(sql: Sql, ids: readonly string[]): Promise<Set<string>> {
  const rows = await sql<{ task_id: string }[]>`
    SELECT DISTINCT task_id FROM task_dependency WHERE task_id = ANY(${ids}::uuid[]) AND waits`;
  return new Set(rows.map((row) => row.task_id));
}

/** Who claims to hold a lease. */
export interface LeaseClaim {
  readonly namespace: string;
  readonly principal: string;
  readonly sessionId: string;
  readonly secretHash: Uint8Array;
  readonly fence: Fence;
}

/** The task of a lease that is held now by the session of the claim; nothing when it is not, whatever the reason. */
export async function selectClaimedTask(
  sql: Sql,
  { namespace, principal, sessionId, secretHash, fence }: LeaseClaim,
): Promise<{ readonly type: string; readonly dependencyCount: number } | undefined> {
  const [task] = await sql<{ type: string; dependencyCount: number }[]>`
    SELECT task.type, dependency_count AS "dependencyCount"
    FROM task JOIN worker_session AS session ON session.id = task.session_id
    WHERE task.id = ${fence.taskId} AND attempt = ${fence.attempt} AND lease_id = ${fence.leaseId}
      AND task.state::text = 'RUNNING' AND task.namespace = ${namespace} AND session.id = ${sessionId}
      AND principal = ${principal} AND secret_hash = ${secretHash}`;
  return task;
}

/** What became of a dependency. All but its id is null once it has outlived its retention. */
export interface DependencyResultRow {
  readonly position: number;
  readonly taskId: string;
  readonly type: string | null;
  readonly state: TaskState | null;
  readonly output: Uint8Array | null;
  readonly outputContentType: string | null;
  /** Whether there is an output that the task's submitter could not have read. */
  readonly isWithheld: boolean;
  readonly error: StoredError | null;
}

/** A page of what became of a task's dependencies: as many as fit, and one at least. The sizes alone decide what is read. */
export function selectDependencyResults(
  sql: Sql,
  taskId: string,
  page: { readonly afterPosition: number; readonly size: number; readonly bytesMax: number },
): Promise<DependencyResultRow[]> {
  return sql<DependencyResultRow[]>`
    WITH listed AS (
      SELECT d.position, d.depends_on, d.shares_output, row_number() OVER by_position AS place,
        sum(CASE WHEN d.shares_output THEN COALESCE(octet_length(task.output), 0) ELSE 0 END
          + COALESCE(octet_length(task.error::text), 0)) OVER by_position AS bytes
      FROM task_dependency d LEFT JOIN task ON task.id = d.depends_on
      WHERE d.task_id = ${taskId} AND d.position > ${page.afterPosition}
      WINDOW by_position AS (ORDER BY d.position)
      ORDER BY d.position LIMIT ${page.size}
    )
    SELECT position, depends_on AS "taskId", task.type, task.state,
      CASE WHEN shares_output THEN task.output END AS output, task.output_content_type AS "outputContentType",
      NOT shares_output AND task.output IS NOT NULL AS "isWithheld",
      CASE WHEN task.state IN ('FAILED', 'CANCELLED') THEN task.error END AS error
    FROM listed LEFT JOIN task ON task.id = depends_on
    WHERE place = 1 OR bytes <= ${page.bytesMax}
    ORDER BY position`;
}
