import { type EventPosition, eventShards } from '../domain/event-position.ts';
import { arrayTypeIds } from './array-types.ts';
import type { Sql } from './database.ts';

/** The reader as one node runs it; `node` is the name of this run alone. */
export interface ReaderNode {
  readonly reader: string;
  readonly node: string;
  /** What a node holds is another's this long after its last sign of life. */
  readonly leaseMs: number;
}

/** A node's right to a shard. */
export interface ShardHold {
  readonly shard: number;
  readonly epoch: number;
}

export interface KeptShard extends ShardHold {
  readonly position: EventPosition;
  /** Whether this node held it before and does so still, has taken it just now, or does not hold it. */
  readonly is: 'held' | 'taken' | 'not held';
  /** How long ago the first event after the position happened; undefined when there is none. */
  readonly lagMs: number | undefined;
}

export interface KeptShards {
  /** All shards of the reader; none before its first start. */
  readonly shards: readonly KeptShard[];
  /** How many of them are this node's share, if it takes any. */
  readonly shareMax: number;
}

/** Gives a reader its first place in each shard, unless it has one. */
export async function insertReaderPositions(sql: Sql, reader: string, at: EventPosition): Promise<void> {
  await sql`
    INSERT INTO event_reader (reader, shard, stream_order, subject_id, sequence, time)
    SELECT ${reader}, shard, ${at.order}::text::xid8, ${at.subjectId}::uuid, ${at.sequence}::int,
      to_timestamp(${at.timeMs}::float8 / 1000)
    FROM generate_series(0, ${eventShards - 1}::int) AS shard
    ON CONFLICT DO NOTHING`;
}

/** What a node wants of its shards. */
export interface ShardWishes {
  readonly held: readonly ShardHold[];
  readonly givenUp: readonly ShardHold[];
  /** Whether it takes more; one that does not is not counted among those who share. */
  readonly takes: boolean;
}

/**
 * Gives a sign of life, lets go of what is given up, and takes what no node holds that lives, up to this node's share: what
 * all of those would have each. One statement over eight rows, which writes one, and none when there was a sign of life a
 * moment ago; the lag is one index probe a shard (see `dstc_events_unread`).
 */
export async function keepShards(
  sql: Sql,
  { reader, node, leaseMs }: ReaderNode,
  { held, givenUp, takes }: ShardWishes,
): Promise<KeptShards> {
  const lease = sql`${leaseMs}::float8 * interval '1 millisecond'`;
  const known = [
    ...held.map((hold) => ({ ...hold, stays: true })),
    ...givenUp.map((hold) => ({ ...hold, stays: false })),
  ];
  const rows = await sql<KeptRow[]>`
    WITH beat AS (
      INSERT INTO event_reader_node (reader, node, expire_time)
      SELECT ${reader}, ${node}, now() + ${lease} WHERE ${takes}::boolean
      ON CONFLICT (reader, node) DO UPDATE SET expire_time = EXCLUDED.expire_time
        WHERE event_reader_node.expire_time < now() + ${lease} * 0.7
    ), dead AS (
      DELETE FROM event_reader_node
      WHERE reader = ${reader} AND (expire_time < now() - interval '1 minute' OR (node = ${node} AND NOT ${takes}::boolean))
    ), share AS (
      SELECT ceil(${eventShards}::float8 / (1 + count(*)))::int AS shards_max FROM event_reader_node
      WHERE reader = ${reader} AND node <> ${node} AND expire_time > now()
    ), known AS (
      SELECT * FROM unnest(${known.map((k) => k.shard)}::smallint[], ${known.map((k) => k.epoch)}::int[],
        ${sql.typed(
          known.map((k) => k.stays),
          arrayTypeIds.boolean,
        )}::boolean[]) AS k(shard, epoch, stays)
    ), given_up AS (
      UPDATE event_reader SET node = NULL
      FROM known
      WHERE reader = ${reader} AND event_reader.shard = known.shard AND event_reader.epoch = known.epoch AND node = ${node}
        AND NOT stays
    ), taken AS (
      UPDATE event_reader SET node = ${node}, epoch = epoch + 1
      WHERE reader = ${reader} AND shard IN (
        SELECT shard FROM event_reader AS row
        -- What is this node's and it does not know of: the answer that gave it was lost.
        WHERE reader = ${reader} AND shard NOT IN (SELECT shard FROM known) AND NOT EXISTS (
          SELECT FROM event_reader_node AS other
          WHERE other.reader = row.reader AND other.node = row.node AND other.node <> ${node} AND expire_time > now())
        ORDER BY shard LIMIT CASE WHEN ${takes}::boolean THEN
          GREATEST(0, (SELECT shards_max FROM share) - ${held.length}::int) ELSE 0 END
        FOR UPDATE SKIP LOCKED
      )
      RETURNING shard, epoch, stream_order, subject_id, sequence, time
    )
    SELECT shard, share.shards_max, extract(epoch FROM now() - found.oldest)::float8 * 1000 AS lag_ms,
      COALESCE(taken.epoch, row.epoch) AS epoch,
      COALESCE(taken.stream_order, row.stream_order)::text AS stream_order,
      COALESCE(taken.subject_id, row.subject_id) AS subject_id,
      COALESCE(taken.sequence, row.sequence) AS sequence,
      extract(epoch FROM COALESCE(taken.time, row.time))::float8 * 1000 AS time_ms,
      CASE WHEN taken.epoch IS NOT NULL THEN 'taken'
        WHEN known.stays AND row.node = ${node} AND row.epoch = known.epoch THEN 'held' ELSE 'not held' END AS is
    FROM event_reader AS row CROSS JOIN share LEFT JOIN taken USING (shard) LEFT JOIN known USING (shard)
    CROSS JOIN LATERAL dstc_events_unread(shard, row.stream_order, row.subject_id, row.sequence,
      row.time - interval '1 day', 1) AS found
    WHERE reader = ${reader}`;
  return {
    shards: rows.map((row) => ({
      shard: row.shard,
      epoch: row.epoch,
      position: { order: row.stream_order, subjectId: row.subject_id, sequence: row.sequence, timeMs: row.time_ms },
      is: row.is,
      lagMs: row.lag_ms ?? undefined,
    })),
    shareMax: rows[0]?.shards_max ?? 0,
  };
}

interface KeptRow {
  shard: number;
  shards_max: number;
  lag_ms: number | null;
  epoch: number;
  stream_order: string;
  subject_id: string;
  sequence: number;
  time_ms: number;
  is: KeptShard['is'];
}

/** How many events a reader has not read yet, up to `eventsMax` of each shard; see `dstc_events_unread`. */
export async function countUnreadEvents(sql: Sql, reader: string, eventsMax: number): Promise<number> {
  const [row] = await sql<{ unread: number | null }[]>`
    SELECT sum(found.unread)::int AS unread
    FROM event_reader AS row CROSS JOIN LATERAL dstc_events_unread(shard, row.stream_order, row.subject_id, row.sequence,
      row.time - interval '1 day', ${eventsMax}::int) AS found
    WHERE reader = ${reader}`;
  return row?.unread ?? 0;
}

/** Moves held shards on to where they have been read; answers with those that this node held still. */
export async function storeHeldPositions(
  sql: Sql,
  { reader, node }: Pick<ReaderNode, 'reader' | 'node'>,
  read: readonly (ShardHold & { readonly position: EventPosition })[],
): Promise<ReadonlySet<number>> {
  const rows = await sql<{ shard: number }[]>`
    UPDATE event_reader SET stream_order = item.stream_order::xid8, subject_id = item.subject_id, sequence = item.sequence,
      time = to_timestamp(item.time_ms / 1000)
    FROM unnest(
      ${read.map((r) => r.shard)}::smallint[], ${read.map((r) => r.epoch)}::int[],
      ${read.map((r) => r.position.order)}::text[], ${read.map((r) => r.position.subjectId)}::uuid[],
      ${read.map((r) => r.position.sequence)}::int[], ${read.map((r) => r.position.timeMs)}::float8[]
    ) AS item(shard, epoch, stream_order, subject_id, sequence, time_ms)
    WHERE reader = ${reader} AND event_reader.shard = item.shard AND event_reader.epoch = item.epoch AND node = ${node}
    RETURNING event_reader.shard`;
  return new Set(rows.map((row) => row.shard));
}

/** Lets go of everything that a node holds of a reader, so that others need not wait for its lease to end. */
export async function releaseShards(sql: Sql, { reader, node }: Pick<ReaderNode, 'reader' | 'node'>): Promise<void> {
  await sql`
    WITH gone AS (DELETE FROM event_reader_node WHERE reader = ${reader} AND node = ${node})
    UPDATE event_reader SET node = NULL WHERE reader = ${reader} AND node = ${node}`;
}

/**
 * There is nothing where what was read has gone: it is read again, all that happened in the last `backMs`, or that history
 * holds when that is 0. Answers whether it is (also when another node has said so), and not when nothing was read yet.
 */
export async function rewindLostReader(sql: Sql, reader: string, backMs: number): Promise<boolean> {
  await sql`UPDATE event_reader SET target = '', ${rewound(sql, backMs)} WHERE reader = ${reader} AND target <> ''`;
  const rows = await sql`SELECT 1 FROM event_reader WHERE reader = ${reader} AND target = ''`;
  return rows.length > 0;
}

/**
 * Says where what is read goes now. When it went elsewhere before, or the last of it is lost there, it is read again;
 * answers whether that is so.
 */
export async function pointReaderAt(
  sql: Sql,
  { reader, target, hasLost, backMs }: { reader: string; target: string; hasLost: boolean; backMs: number },
): Promise<boolean> {
  await sql`
    UPDATE event_reader SET target = ${target} WHERE reader = ${reader} AND (target IS NULL OR target = '')`;
  const { count } = await sql`
    UPDATE event_reader SET target = ${target}, ${rewound(sql, backMs)}
    WHERE reader = ${reader} AND (target <> ${target} OR ${hasLost}::boolean)`;
  return count > 0;
}

/**
 * Has a reader read again what comes after a position; false when there is no such reader. Shards that are not that far stay
 * where they are: what they have not read must not be passed over.
 */
export async function moveReaderBack(sql: Sql, reader: string, to: EventPosition): Promise<boolean> {
  const { count } = await sql`SELECT FROM event_reader WHERE reader = ${reader}`;
  await sql`
    UPDATE event_reader SET stream_order = ${to.order}::text::xid8, subject_id = ${to.subjectId}::uuid,
      sequence = ${to.sequence}::int, time = to_timestamp(${to.timeMs}::float8 / 1000),
      node = NULL, epoch = epoch + 1
    WHERE reader = ${reader}
      AND (stream_order, subject_id, sequence) > (${to.order}::text::xid8, ${to.subjectId}::uuid, ${to.sequence}::int)`;
  return count > 0;
}

/** Whoever holds a shard has lost it: it reads no more, and its next position is refused. */
function rewound(sql: Sql, backMs: number) {
  return sql`stream_order = '0', subject_id = '00000000-0000-0000-0000-000000000000', sequence = 0,
    time = CASE WHEN ${backMs}::float8 = 0 THEN to_timestamp(0)
      ELSE now() - ${backMs}::float8 * interval '1 millisecond' END,
    node = NULL, epoch = epoch + 1`;
}
