import type { Sql } from './database.ts';
import type { TaskTypeName } from './task-types.ts';

/** What came of it, or why nothing did. */
export type Deletion =
  | { readonly outcome: 'deleted' /** Of the version that was deleted. */; readonly etag: string }
  | { readonly outcome: 'missing' | 'stale etag' | 'unfinished tasks' };

/**
 * Any unfinished task of `t`, by the indexes `task_pending`, `task_held` and `task_running`. Each is looked for on its
 * own and in the order of its index, so that the plan stays away from all that has ended.
 */
const unfinishedTask = (sql: Sql) => sql`COALESCE(
  (SELECT id FROM task WHERE task.namespace = t.namespace AND task.type = t.name
    AND state = 'PENDING' AND paused_time IS NULL ORDER BY limit_key, priority, available_time LIMIT 1),
  (SELECT id FROM task WHERE task.namespace = t.namespace AND task.type = t.name
    AND (state = 'BLOCKED' OR state = 'PENDING' AND paused_time IS NOT NULL) LIMIT 1),
  (SELECT id FROM task WHERE task.namespace = t.namespace AND task.type = t.name
    AND state = 'RUNNING' ORDER BY session_id LIMIT 1)
)`;

/**
 * Marks a type as deleted while none of its tasks is unfinished, and takes its gate away; with an etag, only while it is
 * the current one.
 *
 * Another node may submit to a type for as long as it remembers it, which is a second: such tasks are worked on as any.
 */
export async function deleteFinishedTaskType(
  sql: Sql,
  { namespace, name }: TaskTypeName,
  etags: { readonly expected: string | undefined; readonly next: string },
): Promise<Deletion> {
  const rows = await sql<Deletion[]>`
    WITH found AS MATERIALIZED (
      SELECT namespace, name, etag FROM task_type
      WHERE namespace = ${namespace} AND name = ${name} AND delete_time IS NULL FOR UPDATE
    ), decision AS MATERIALIZED (
      SELECT namespace, name, etag, CASE
          WHEN etag <> ${etags.expected ?? null}::text THEN 'stale etag'
          WHEN ${unfinishedTask(sql)} IS NOT NULL THEN 'unfinished tasks'
          ELSE 'deleted' END AS outcome
      FROM found AS t
    ), deleted AS (
      UPDATE task_type SET delete_time = now(), update_time = now(), etag = ${etags.next}
      FROM decision AS d WHERE task_type.namespace = d.namespace AND task_type.name = d.name AND outcome = 'deleted'
    ), opened AS (
      DELETE FROM task_gate USING decision AS d
      WHERE task_gate.namespace = d.namespace AND task_gate.type = d.name AND outcome = 'deleted'
    )
    SELECT outcome, etag FROM decision`;
  return rows[0] ?? { outcome: 'missing' };
}

/**
 * Removes what is left of deleted types once the last of their tasks is gone, and no node remembers them any more.
 * Answers with their names.
 */
export function removeTasklessTypes(sql: Sql): Promise<TaskTypeName[]> {
  return sql<TaskTypeName[]>`
    WITH removed AS (
      DELETE FROM task_type AS t
      WHERE delete_time < now() - interval '1 minute' AND ${unfinishedTask(sql)} IS NULL
        AND (SELECT id FROM task WHERE task.namespace = t.namespace AND task.type = t.name
          AND finished_time IS NOT NULL ORDER BY finished_time LIMIT 1) IS NULL
      RETURNING namespace, name
    ), ungated AS (
      DELETE FROM task_gate USING removed WHERE task_gate.namespace = removed.namespace AND task_gate.type = removed.name
    ), unlimited AS (
      DELETE FROM limited_type USING removed
      WHERE limited_type.namespace = removed.namespace AND limited_type.type = removed.name
    ), roomless AS (
      DELETE FROM queue_room USING removed WHERE queue_room.namespace = removed.namespace AND queue_room.type = removed.name
    )
    SELECT namespace, name FROM removed`;
}
