import type { Sql } from './database.ts';

/**
 * Deletes tasks that ended longer ago than their type keeps them, with their idempotency keys and what they depend on; a
 * bounded number, oldest first for each type. What a task that has not ended depends on stays, because its worker may ask
 * for the results. In a transaction. Answers with the number.
 */
export async function deleteOutlivedTasks(sql: Sql, tasksMax: number): Promise<number> {
  const ids = await lockOutlivedTasks(sql, tasksMax);
  return ids.length === 0 ? 0 : deleteUnneededTasks(sql, ids);
}

/** Locks those that nobody else has locked, by index `task_finished`. */
async function lockOutlivedTasks(sql: Sql, tasksMax: number): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT old.id FROM task_type CROSS JOIN LATERAL (
      SELECT id FROM task
      WHERE task.namespace = task_type.namespace AND task.type = task_type.name
        AND finished_time IS NOT NULL AND finished_time < now() - task_type.retention_ms * interval '1 millisecond'
        AND NOT ${isNeeded(sql)}
      ORDER BY finished_time LIMIT ${tasksMax}
      FOR UPDATE SKIP LOCKED
    ) AS old
    LIMIT ${tasksMax}`;
  return rows.map(({ id }) => id);
}

/**
 * Deletes locked tasks by primary key. Looks once more whether they are needed: who submits what depends on a task has its
 * lock, and may have given it back after the statement that found the task began, so that this one did not see why it stays.
 */
async function deleteUnneededTasks(sql: Sql, ids: readonly string[]): Promise<number> {
  const rows = await sql`
    WITH deleted AS (
      DELETE FROM task WHERE id = ANY(${ids}::uuid[]) AND NOT ${isNeeded(sql)}
      RETURNING id, namespace, idempotency_key, dependency_count
    ), freed AS (
      DELETE FROM idempotency_key AS k USING deleted
      WHERE k.namespace = deleted.namespace AND k.key = deleted.idempotency_key
    ), released AS (
      DELETE FROM task_dependency WHERE task_id IN (SELECT id FROM deleted WHERE dependency_count > 0)
    )
    SELECT FROM deleted`;
  return rows.count;
}

/** Whether a task that has not ended depends on the task, by index `task_dependency_dependents` and primary key. */
function isNeeded(sql: Sql) {
  return sql`EXISTS (
    SELECT 1 FROM task_dependency d
    WHERE d.depends_on = task.id
      AND (SELECT dependent.finished_time IS NULL FROM task AS dependent WHERE dependent.id = d.task_id)
    -- Keeps it one short look for each task, whatever the planner thinks of the sizes.
    OFFSET 0)`;
}

/**
 * Deletes events of what is no task that are older than so many days; a bounded number, oldest first, by index
 * `system_event_time`. The last one of each thing stays, because the next one goes on from it, except of a worker session
 * that has ended: nothing comes after that. So what stays is as much as there are things. Answers with the number.
 */
export async function deleteOldSystemEvents(
  sql: Sql,
  old: { readonly days: number; readonly eventsMax: number },
): Promise<number> {
  const { count } = await sql`
    DELETE FROM system_event WHERE id IN (
      SELECT id FROM system_event AS event
      WHERE time < now() - ${old.days}::int * interval '1 day'
        AND (kind = 'worker_session.ended' OR EXISTS (
          SELECT 1 FROM system_event AS later
          WHERE later.subject_id = event.subject_id AND later.sequence > event.sequence
        ))
      ORDER BY time LIMIT ${old.eventsMax}
      FOR UPDATE SKIP LOCKED
    )`;
  return count;
}
