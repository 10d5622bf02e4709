import type { DependencyPolicy } from '../domain/dependency.ts';
import type { TaskState } from '../domain/task-state.ts';
import type { Sql } from './database.ts';

/** A dependency that has ended and that is still waited for; locked until the transaction ends. */
export interface EndedDependency {
  readonly taskId: string;
  readonly position: number;
  readonly dependsOn: string;
  readonly policy: DependencyPolicy;
  /** How it ended. */
  readonly state: TaskState;
  /** How many of its dependents are looked at in one go, so that no fan-out keeps the others waiting. */
  readonly share: number;
}

/**
 * Locks what tasks that have ended are still waited for, apart from what others have locked and from what stays blocked.
 * The ended tasks come from index `task_ended_dependency`, which holds nothing else, and each one's dependents from a
 * range of index `task_dependency_dependents`.
 */
export function lockEndedDependencies(sql: Sql, rowsMax: number): Promise<EndedDependency[]> {
  return sql<EndedDependency[]>`
    SELECT d.task_id AS "taskId", d.position, d.depends_on AS "dependsOn", d.policy, ended.state, ended.share
    FROM (
      SELECT id, state, GREATEST(1, ${rowsMax}::int / count(*) OVER ())::int AS share FROM (
        SELECT id, state FROM task WHERE has_dependents AND finished_time IS NOT NULL ORDER BY finished_time LIMIT ${rowsMax}
      ) AS oldest
    ) AS ended
    CROSS JOIN LATERAL (
      SELECT * FROM task_dependency
      WHERE depends_on = ended.id AND waits AND (policy <> 'block' OR ended.state IN ('SUCCEEDED', 'SKIPPED'))
      ORDER BY task_id LIMIT ended.share
      FOR UPDATE SKIP LOCKED
    ) AS d`;
}

/**
 * Writes that dependencies, which this transaction has locked together with their dependents, are waited for no more.
 * Answers with those of the dependents that wait for nothing else, by index `task_dependency_waiting`.
 */
export async function settleDependencies(
  sql: Sql,
  rows: readonly Pick<EndedDependency, 'taskId' | 'position'>[],
): Promise<Set<string>> {
  const free = await sql<{ task_id: string }[]>`
    WITH item AS MATERIALIZED (
      SELECT * FROM unnest(${rows.map((r) => r.taskId)}::uuid[], ${rows.map((r) => r.position)}::smallint[])
        AS i(task_id, position)
    ), settled AS (
      UPDATE task_dependency d SET waits = false FROM item WHERE d.task_id = item.task_id AND d.position = item.position
    ), dependent AS (
      SELECT task_id, count(*) AS settled FROM item GROUP BY task_id
    )
    -- As it was before this statement: all that it waited for is what is settled now.
    SELECT task_id FROM dependent
    WHERE settled = (
      SELECT count(*) FROM (
        SELECT 1 FROM task_dependency d WHERE d.task_id = dependent.task_id AND d.waits LIMIT dependent.settled + 1
      ) AS waited)`;
  return new Set(free.map((row) => row.task_id));
}

/**
 * Takes the mark from ended tasks whose dependents have all heard of it; answers with how many. One that has moved since
 * it was looked at keeps it: what it does next is news.
 */
export async function unmarkToldDependencies(sql: Sql, tasksMax: number): Promise<number> {
  const rows = await sql`
    WITH told AS MATERIALIZED (
      SELECT id, event_sequence FROM task
      WHERE has_dependents AND finished_time IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM task_dependency d
        WHERE d.depends_on = task.id AND d.waits AND (d.policy <> 'block' OR task.state IN ('SUCCEEDED', 'SKIPPED'))
        -- Keeps it one short look for each task, whatever the planner thinks of the sizes.
        OFFSET 0
      )
      ORDER BY finished_time LIMIT ${tasksMax}
    ), locked AS (
      SELECT task.id FROM told JOIN task ON task.id = told.id AND task.event_sequence = told.event_sequence
      ORDER BY task.id FOR UPDATE OF task SKIP LOCKED
    )
    UPDATE task SET has_dependents = false FROM locked WHERE task.id = locked.id
    RETURNING task.id`;
  return rows.length;
}
