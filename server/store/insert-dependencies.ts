import type { DependencyPolicy } from '../domain/dependency.ts';
import type { TaskState } from '../domain/task-state.ts';
import { arrayTypeIds } from './array-types.ts';
import type { Sql } from './database.ts';

/** A task that others are about to depend on; it stays as it is until the transaction ends. */
export interface LockedDependency {
  readonly id: string;
  readonly namespace: string;
  readonly type: string;
  readonly state: TaskState;
}

/**
 * Locks tasks by primary key and in its order, and marks those that have not ended, so that whatever ends them later
 * leaves word. Those that are not there are missing from the answer.
 */
export function lockDependencies(
  sql: Sql,
  keys: readonly Pick<LockedDependency, 'namespace' | 'id'>[],
): Promise<LockedDependency[]> {
  return sql<LockedDependency[]>`
    WITH found AS MATERIALIZED (
      SELECT task.id, task.namespace, task.type, task.state, task.finished_time IS NULL AND NOT has_dependents AS marks
      FROM unnest(${keys.map((k) => k.id)}::uuid[], ${keys.map((k) => k.namespace)}::text[]) AS item(id, namespace)
      JOIN task USING (id, namespace)
      ORDER BY task.id
      FOR UPDATE OF task
    ), marked AS (
      -- By what the lock has seen: the row that this statement's snapshot has may be an older one.
      UPDATE task SET has_dependents = true FROM found WHERE task.id = found.id AND found.marks
    )
    SELECT id, namespace, type, state FROM found`;
}

/** Marks tasks of this transaction whose end others are to hear of. */
export async function markDependencies(sql: Sql, ids: readonly string[]): Promise<void> {
  if (ids.length > 0) await sql`UPDATE task SET has_dependents = true WHERE id = ANY(${ids}::uuid[])`;
}

export interface NewDependency {
  readonly taskId: string;
  readonly position: number;
  readonly dependsOn: string;
  readonly policy: DependencyPolicy;
  readonly waits: boolean;
  readonly sharesOutput: boolean;
}

export async function insertDependencies(sql: Sql, rows: readonly NewDependency[]): Promise<void> {
  if (rows.length === 0) return;
  await sql`
    INSERT INTO task_dependency (task_id, position, depends_on, policy, waits, shares_output)
    SELECT * FROM unnest(
      ${rows.map((r) => r.taskId)}::uuid[], ${rows.map((r) => r.position)}::smallint[],
      ${rows.map((r) => r.dependsOn)}::uuid[], ${rows.map((r) => r.policy)}::text[]::dependency_policy[],
      ${sql.typed(
        rows.map((r) => r.waits),
        arrayTypeIds.boolean,
      )}::boolean[],
      ${sql.typed(
        rows.map((r) => r.sharesOutput),
        arrayTypeIds.boolean,
      )}::boolean[])`;
}
