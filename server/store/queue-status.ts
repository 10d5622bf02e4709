import { type PostgresJsDatabase, sql } from './drizzle.ts';
import type { TypeName } from './limited-types.ts';

/** What waits and runs of a type. */
export interface QueueStatus {
  /** Up to `countMax` and one more. */
  readonly waiting: number;
  readonly running: number;
  /** Leases that its rate allows at this moment; null without a rate. */
  readonly tokens: number | null;
}

/**
 * Counts what waits of a type, by `task_pending` and `task_held`, and what runs of it, among all that is RUNNING: a few
 * milliseconds for someone who looks, and nothing for a hot path.
 */
export async function selectQueueStatus(
  orm: PostgresJsDatabase,
  { namespace, type }: TypeName,
  countMax: number,
): Promise<QueueStatus> {
  const [row] = await orm.execute<{ waiting: number; running: number; tokens: number | null }>(sql`
    SELECT
      (
        SELECT count(*)::int FROM (
          SELECT 1 FROM task
          WHERE namespace = ${namespace} AND type = ${type} AND state = 'PENDING' AND paused_time IS NULL
          UNION ALL
          SELECT 1 FROM task
          WHERE namespace = ${namespace} AND type = ${type}
            AND (state = 'BLOCKED' OR (state = 'PENDING' AND paused_time IS NOT NULL))
          LIMIT ${countMax + 1}
        ) AS found
      ) AS waiting,
      (
        SELECT count(*)::int FROM (
          SELECT 1 FROM task WHERE namespace = ${namespace} AND type = ${type} AND state = 'RUNNING' LIMIT ${countMax + 1}
        ) AS found
      ) AS running,
      (
        SELECT LEAST(burst, COALESCE(tokens, burst)
          + GREATEST(0, COALESCE(extract(epoch FROM now() - refill_time)::float8, 0)) * rate_per_s)
        FROM limited_type WHERE namespace = ${namespace} AND type = ${type}
      ) AS tokens`);
  if (row === undefined) throw new Error('a select without a condition answered with no row');
  return row;
}
