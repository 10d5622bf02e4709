import type { Sql } from './database.ts';

/**
 * Deletes tasks that ended longer ago than their type keeps them, with their idempotency keys; a bounded number, oldest
 * first for each type, by index `task_finished`. Answers with the number.
 */
export async function deleteOutlivedTasks(sql: Sql, tasksMax: number): Promise<number> {
  const rows = await sql`
    WITH outlived AS (
      SELECT old.id FROM task_type CROSS JOIN LATERAL (
        SELECT id FROM task
        WHERE task.namespace = task_type.namespace AND task.type = task_type.name
          AND finished_time IS NOT NULL AND finished_time < now() - task_type.retention_ms * interval '1 millisecond'
        ORDER BY finished_time LIMIT ${tasksMax}
        FOR UPDATE SKIP LOCKED
      ) AS old
      LIMIT ${tasksMax}
    ), deleted AS (
      DELETE FROM task WHERE id IN (SELECT id FROM outlived) RETURNING namespace, idempotency_key
    ), freed AS (
      DELETE FROM idempotency_key AS k USING deleted
      WHERE k.namespace = deleted.namespace AND k.key = deleted.idempotency_key
    )
    SELECT FROM deleted`;
  return rows.count;
}
