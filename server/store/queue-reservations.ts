import type { QueueRoom } from '../domain/queue-room.ts';
import type { Sql } from './database.ts';
import type { TypeName } from './limited-types.ts';

/** Any number that nobody else uses. Queues have no row of their own that is always there and that nobody else locks. */
const roomLock = 4_207_424;
/** A node that falls silent in the middle holds up the others for as long as this. */
const idleSMax = 3;

/** Has whoever reckons with the room of a queue wait for this transaction to end. */
export async function lockQueueRoom(sql: Sql, { namespace, type }: TypeName): Promise<void> {
  await sql`
    SELECT pg_advisory_xact_lock(${roomLock}::int, hashtext(${namespace}::text || '/' || ${type}::text)),
      set_config('idle_in_transaction_session_timeout', ${`${idleSMax}s`}::text, true)`;
}

/** The limit of a queue as it is now, null without one, and what was left when it was counted; two probes by primary key. */
export async function selectQueueRoom(
  sql: Sql,
  { namespace, type }: TypeName,
): Promise<{ readonly queueMax: number | null; readonly room: QueueRoom | undefined }> {
  const [row] = await sql<{ queue_max: number | null; room: QueueRoom | null }[]>`
    SELECT
      (SELECT (limits->>'queueMax')::int FROM task_type WHERE namespace = ${namespace} AND name = ${type}) AS queue_max,
      (
        SELECT jsonb_build_object('free', free, 'queueMax', queue_max, 'tookMs', took_ms,
          'ageMs', extract(epoch FROM clock_timestamp() - count_time) * 1000)
        FROM queue_room WHERE namespace = ${namespace} AND type = ${type}
      ) AS room`;
  return { queueMax: row?.queue_max ?? null, room: row?.room ?? undefined };
}

/**
 * Takes reservations away that have expired, by index `queue_reservation_type`. One that is locked has tasks on their
 * way that no count would see yet, and goes on counting.
 */
export async function takeBackExpiredPlaces(sql: Sql, { namespace, type }: TypeName): Promise<void> {
  await sql`
    WITH expired AS (
      SELECT id FROM queue_reservation WHERE namespace = ${namespace} AND type = ${type} AND expire_time <= now()
      FOR UPDATE SKIP LOCKED
    )
    DELETE FROM queue_reservation USING expired WHERE queue_reservation.id = expired.id`;
}

/**
 * Counts the tasks of a type that wait, up to a number, and the places that are reserved but for reservations that
 * have ended, both as they are at one moment: of the tasks by index `task_pending` those that a claim may find, and by
 * `task_held` those that are blocked or paused. What waits is the same as in `queue-status.ts`.
 */
export async function countQueue(
  sql: Sql,
  { namespace, type }: TypeName,
  { countMax, endedIds }: { readonly countMax: number; readonly endedIds: readonly string[] },
): Promise<{ readonly waiting: number; readonly reserved: number }> {
  const [row] = await sql<{ waiting: number; reserved: number }[]>`
    SELECT
      (
        SELECT count(*)::int FROM (
          SELECT 1 FROM task
          WHERE namespace = ${namespace} AND type = ${type} AND state = 'PENDING' AND paused_time IS NULL
          UNION ALL
          SELECT 1 FROM task
          WHERE namespace = ${namespace} AND type = ${type}
            AND (state = 'BLOCKED' OR (state = 'PENDING' AND paused_time IS NOT NULL))
          LIMIT ${countMax}
        ) AS found
      ) AS waiting,
      (
        SELECT COALESCE(sum(places), 0)::float8 FROM queue_reservation
        WHERE namespace = ${namespace} AND type = ${type} AND id <> ALL(${endedIds}::uuid[])
      ) AS reserved`;
  if (row === undefined) throw new Error('a select without a condition answered with no row');
  return row;
}

/** What a node was given, and how it leaves the room of the queue. */
export interface Reserving {
  readonly reservation: { readonly id: string; readonly places: number; readonly lifeMs: number };
  /** Reservations that go. */
  readonly endedIds: readonly string[];
  readonly free: number;
  readonly queueMax: number;
  /** Of the count that this transaction has made; undefined when the one before is still good. */
  readonly tookMs: number | undefined;
}

/** Reserves places, if any, and ends what the node had before, in a transaction that has the lock; by primary keys. */
export async function writeReservation(
  sql: Sql,
  { namespace, type }: TypeName,
  { reservation, endedIds, free, queueMax, tookMs }: Reserving,
): Promise<void> {
  await sql`
    WITH ended AS (
      DELETE FROM queue_reservation WHERE id = ANY(${endedIds}::uuid[])
    ), known AS (
      INSERT INTO queue_room AS room (namespace, type, free, queue_max, count_time, took_ms)
      VALUES (${namespace}, ${type}, ${free}::int, ${queueMax}::int,
        clock_timestamp() - ${tookMs ?? 0}::float8 * interval '1 millisecond', ${tookMs ?? 0}::float8)
      ON CONFLICT (namespace, type) DO UPDATE SET free = excluded.free, queue_max = excluded.queue_max,
        count_time = CASE WHEN ${tookMs === undefined}::boolean THEN room.count_time ELSE excluded.count_time END,
        took_ms = CASE WHEN ${tookMs === undefined}::boolean THEN room.took_ms ELSE excluded.took_ms END
    )
    INSERT INTO queue_reservation (id, namespace, type, places, expire_time)
    SELECT ${reservation.id}::uuid, ${namespace}, ${type}, ${reservation.places}::int,
      clock_timestamp() + ${reservation.lifeMs}::float8 * interval '1 millisecond'
    WHERE ${reservation.places}::int > 0`;
}

/**
 * Answers with those of the reservations that are still there, and keeps them there until the transaction ends, while
 * others of the node use them, too. In one order, in which `revokePlaces` takes them away.
 */
export async function holdReservations(sql: Sql, ids: readonly string[]): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT id FROM unnest((SELECT ${ids}::uuid[])) AS wanted(id) JOIN queue_reservation USING (id)
    ORDER BY id FOR KEY SHARE OF queue_reservation`;
  return rows.map(({ id }) => id);
}

/**
 * Takes away everything that was reserved under another limit than this one, so that the new one holds from the commit
 * on; waits for tasks that are on their way by it. The lock of the queue comes before.
 */
export async function revokePlaces(sql: Sql, { namespace, type }: TypeName, queueMax: number | null): Promise<void> {
  await sql`
    WITH changed AS (
      DELETE FROM queue_room
      WHERE namespace = ${namespace} AND type = ${type} AND queue_max IS DISTINCT FROM ${queueMax}::int
      RETURNING namespace, type
    ), revoked AS (
      SELECT id FROM queue_reservation JOIN changed USING (namespace, type) ORDER BY id FOR UPDATE OF queue_reservation
    )
    DELETE FROM queue_reservation USING revoked WHERE queue_reservation.id = revoked.id`;
}

/** Gives reservations back that nobody will use; by primary key. */
export async function releaseReservations(sql: Sql, ids: readonly string[]): Promise<void> {
  await sql`
    WITH unused AS (
      SELECT id FROM queue_reservation WHERE id = ANY(${ids}::uuid[]) ORDER BY id FOR UPDATE SKIP LOCKED
    )
    DELETE FROM queue_reservation USING unused WHERE queue_reservation.id = unused.id`;
}

/** Deletes what has expired of queues that nobody asks for, by index `queue_reservation_expire`. Answers with the number. */
export async function deleteExpiredReservations(sql: Sql, reservationsMax: number): Promise<number> {
  const rows = await sql`
    WITH expired AS (
      SELECT id FROM queue_reservation WHERE expire_time <= now()
      ORDER BY expire_time LIMIT ${reservationsMax} FOR UPDATE SKIP LOCKED
    )
    DELETE FROM queue_reservation USING expired WHERE queue_reservation.id = expired.id`;
  return rows.count;
}
