import type { PendingQuery, Row } from 'postgres';
import type { Sql } from './database.ts';

/**
 * Mends the order of the stream in a database that was restored from a dump into another server. There the clock of
 * transactions is another one: orders that it has not reached would never become final, and later events of the same
 * tasks with them. What some reader has not read yet gets the order of this transaction, so that each task's events stay in
 * their order and later ones come after them; all else is put before everything. Readers may meet again what they had.
 *
 * In a transaction. Answers with how many events had such an order: none, except after such a restore, and then the
 * question costs one index probe for each shard and day (`task_event_stream`, `system_event_stream`).
 */
export async function rebaseStreamOrders(sql: Sql): Promise<number> {
  // With statistics of a fresh restore the planner would sort everything.
  await sql`SET LOCAL enable_seqscan = off`;
  await sql`SET LOCAL enable_sort = off`;
  const [found] = await sql<{ is_ahead: boolean }[]>`
    SELECT COALESCE(
      GREATEST(max(of_tasks.stream_order), max(of_others.stream_order)) >= pg_snapshot_xmax(pg_current_snapshot())
      -- Those who read stand at the clock itself when nothing happens.
      OR (SELECT max(stream_order) FROM event_reader) > pg_snapshot_xmax(pg_current_snapshot())
      OR (SELECT max(since_order) FROM webhook) > pg_snapshot_xmax(pg_current_snapshot()), false) AS is_ahead
    FROM generate_series(0, 7) AS shard
    LEFT JOIN LATERAL (
      SELECT stream_order FROM task_event WHERE (get_byte(uuid_send(task_id), 15) & 7) = shard
      ORDER BY stream_order DESC LIMIT 1
    ) AS of_tasks ON true
    LEFT JOIN LATERAL (
      SELECT stream_order FROM system_event WHERE (get_byte(uuid_send(subject_id), 15) & 7) = shard
      ORDER BY stream_order DESC LIMIT 1
    ) AS of_others ON true`;
  if (found?.is_ahead !== true) return 0;
  await sql`SET LOCAL enable_seqscan = on`;
  await sql`SET LOCAL enable_sort = on`;
  // Before this transaction has an id of its own: everything that was committed here is below.
  const [clock] = await sql<{ reached: string }[]>`SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS reached`;
  const reached = sql`${clock?.reached ?? '0'}::text::xid8`;
  const tasks = await rebase(sql, { table: sql`task_event`, subject: sql`task_id`, reached });
  const others = await rebase(sql, { table: sql`system_event`, subject: sql`subject_id`, reached });
  await sql`UPDATE task SET stream_order = '0' WHERE stream_order >= ${reached}`;
  await sql`
    UPDATE event_reader SET stream_order = pg_current_xact_id(), subject_id = '00000000-0000-0000-0000-000000000000',
      sequence = 0, node = NULL, epoch = epoch + 1
    WHERE stream_order >= ${reached}`;
  // It gets what is unread, as it would have.
  await sql`UPDATE webhook SET since_order = pg_current_xact_id() WHERE since_order >= ${reached}`;
  return tasks + others;
}

type Fragment = PendingQuery<Row[]>;

async function rebase(
  sql: Sql,
  { table, subject, reached }: { readonly table: Fragment; readonly subject: Fragment; readonly reached: Fragment },
): Promise<number> {
  const { count } = await sql`
    UPDATE ${table} AS event
    SET stream_order = CASE WHEN EXISTS (
      SELECT 1 FROM event_reader AS reader
      WHERE reader.shard = (get_byte(uuid_send(event.${subject}), 15) & 7)
        AND (event.stream_order, event.${subject}, event.sequence) > (reader.stream_order, reader.subject_id, reader.sequence)
    ) THEN pg_current_xact_id() ELSE '0'::xid8 END
    WHERE event.stream_order >= ${reached}`;
  return count;
}
