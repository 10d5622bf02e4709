import type { Sql } from './database.ts';
import type { TypeName } from './limited-types.ts';

/**
 * Counts the tasks of a type that wait, up to a number: by index `task_pending` those that a claim may find, and by
 * `task_held` those that are blocked or paused.
 */
export async function countWaitingTasks(sql: Sql, { namespace, type }: TypeName, countMax: number): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM (
      SELECT 1 FROM task
      WHERE namespace = ${namespace} AND type = ${type} AND state = 'PENDING' AND paused_time IS NULL
      UNION ALL
      SELECT 1 FROM task
      WHERE namespace = ${namespace} AND type = ${type}
        AND (state = 'BLOCKED' OR (state = 'PENDING' AND paused_time IS NOT NULL))
      LIMIT ${countMax}
    ) AS waiting`;
  return row?.count ?? 0;
}
