import { eventShards } from '../domain/event-position.ts';
import type { Sql } from './database.ts';

export interface TimedOrder {
  readonly order: bigint;
  readonly timeMs: number;
}

/** Lets the plan stand whatever the statistics say, for the rest of the transaction; see the function in the migration. */
export async function planByIndex(sql: Sql): Promise<void> {
  await sql`SELECT set_config(name, 'off', true)
    FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_sort', 'jit']) AS name`;
}

/**
 * The first event that is settled and whose stream order is `order` or higher: an event of a task within a time, or of
 * anything else. One look into `task_event_stream` for each shard and each day of that time, and one for each shard into
 * `system_event_stream`.
 */
export async function selectFirstAtOrder(
  sql: Sql,
  order: bigint,
  within: { readonly fromMs: number; readonly untilMs: number },
): Promise<TimedOrder | undefined> {
  const [row] = await sql<{ order: string; time_ms: number }[]>`
    SELECT found.stream_order::text AS order, extract(epoch FROM found.time)::float8 * 1000 AS time_ms
    FROM generate_series(0, ${eventShards - 1}::int) AS wanted(shard)
    CROSS JOIN LATERAL (
      (
        SELECT stream_order, time FROM task_event
        WHERE (get_byte(uuid_send(task_id), 15) & 7) = wanted.shard AND stream_order >= ${String(order)}::text::xid8
          AND stream_order < pg_snapshot_xmin(pg_current_snapshot())
          AND time >= to_timestamp(${within.fromMs}::float8 / 1000) AND time < to_timestamp(${within.untilMs}::float8 / 1000)
        ORDER BY stream_order LIMIT 1
      ) UNION ALL (
        SELECT stream_order, time FROM system_event
        WHERE (get_byte(uuid_send(subject_id), 15) & 7) = wanted.shard AND stream_order >= ${String(order)}::text::xid8
          AND stream_order < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY stream_order LIMIT 1
      )
    ) AS found
    ORDER BY found.stream_order LIMIT 1`;
  return row && { order: BigInt(row.order), timeMs: row.time_ms };
}
