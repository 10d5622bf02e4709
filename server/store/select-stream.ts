import { comparePositions, type EventPosition, eventShards, positionBefore } from '../domain/event-position.ts';
import type { Sql } from './database.ts';
import { rowsOfValues } from './rows-of-values.ts';
import {
  type EventValues,
  eventColumns,
  eventIn,
  type HorizonValues,
  horizonColumns,
  type NoEventValues,
  type StoredEvent,
  timeSlack,
} from './select-events.ts';

/** Some events in the one order of all, and how far they reach. */
export interface StreamPage {
  readonly events: readonly StoredEvent[];
  /** Everything up to here is in `events`, or was asked to be left out. */
  readonly next: EventPosition;
  /** Whether there was no more to be had. */
  readonly isWhole: boolean;
  readonly horizon: Horizon;
}

/** Stream orders of when it was read: nothing can come before `final` any more; what is committed is before `end`. */
export interface Horizon {
  readonly final: bigint;
  readonly end: bigint;
}

/** Where the stream stands, and the database's time. */
export async function selectHorizon(sql: Sql): Promise<Horizon & { readonly nowMs: number }> {
  const [row] = await rowsOfValues<NowValues>(sql`SELECT ${horizonColumns(sql)}, ${nowColumn(sql)}`);
  return horizonOf(row);
}

/**
 * The next events of all shards together, in order: at most `shardEventsMax` of each. Where a shard has more, the page
 * ends with its last one, as others of that shard may come before what the other shards have. See `selectEventPage`
 * for the indexes and for why nothing is missed. The first event of a worker session says its task types: by index
 * `system_event_subject`.
 */
export async function selectStreamAfter(sql: Sql, after: EventPosition, shardEventsMax: number): Promise<StreamPage> {
  // One snapshot for all shards, so that the same is final in all of them.
  const rows = await rowsOfValues<StreamRow>(sql`
    SELECT ${horizonColumns(sql)}, ${nowColumn(sql)}, wanted.shard, started.session_types, ${eventColumns(sql)}
    FROM generate_series(0, ${eventShards - 1}::int) AS wanted(shard)
    LEFT JOIN LATERAL dstc_events_after(wanted.shard, ${after.order}::text::xid8, ${after.subjectId}::uuid,
      ${after.sequence}::int, to_timestamp(${after.timeMs}::float8 / 1000) - ${timeSlack}::interval,
      ${shardEventsMax}::int) AS found ON true
    LEFT JOIN LATERAL (
      SELECT data->'taskTypes' AS session_types FROM system_event
      WHERE found.kind LIKE 'worker\\_session.%' AND subject_id = found.subject_id AND system_event.sequence = 1
      LIMIT 1
    ) AS started ON true
    ORDER BY found.stream_order, found.subject_id, found.sequence`);
  const events: StoredEvent[] = [];
  const counts = new Map<number, number>();
  for (const row of rows) {
    const [, , , shard, sessionTypes] = row;
    const event = eventIn(row, 5);
    if (event === undefined) continue;
    events.push(withSessionTypes(event, sessionTypes));
    const count = (counts.get(shard) ?? 0) + 1;
    counts.set(shard, count);
    if (count === shardEventsMax) return pageOf(after, rows[0], events, false);
  }
  return pageOf(after, rows[0], events, true);
}

/**
 * The next events of some tasks, in the order of the stream: at most `eventsMax`. By the primary key, in the partitions
 * since `sinceMs`, before which nothing of them happened that is asked for.
 */
export async function selectTaskStreamAfter(
  sql: Sql,
  after: EventPosition,
  of: { readonly taskIds: readonly string[]; readonly sinceMs: number; readonly eventsMax: number },
): Promise<StreamPage> {
  const rows = await rowsOfValues<TaskStreamRow>(sql`
    SELECT ${horizonColumns(sql)}, ${nowColumn(sql)}, ${eventColumns(sql)}
    FROM (SELECT 1) AS always
    LEFT JOIN LATERAL (
      SELECT e.stream_order, e.task_id AS subject_id, e.sequence, e.time, e.namespace, e.actor, true AS is_task, e.type,
        e.kind::text, e.state, e.attempt, e.lease_id, e.session_id, e.error, e.reason, e.retry_delay_ms,
        known.labels, known.trace_parent, NULL::uuid AS id, NULL AS subject, NULL::jsonb AS data
      FROM task_event AS e LEFT JOIN task AS known ON known.id = e.task_id
      WHERE e.task_id = ANY(${of.taskIds}::uuid[])
        AND e.time >= to_timestamp(${of.sinceMs}::float8 / 1000) - ${timeSlack}::interval
        AND e.stream_order < pg_snapshot_xmin(pg_current_snapshot())
        AND (e.stream_order, e.task_id, e.sequence)
          > (${after.order}::text::xid8, ${after.subjectId}::uuid, ${after.sequence}::int)
      ORDER BY e.stream_order, e.task_id, e.sequence
      LIMIT ${of.eventsMax}::int
    ) AS found ON true
    ORDER BY found.stream_order, found.subject_id, found.sequence`);
  const events = rows.flatMap((row) => eventIn(row, 3) ?? []);
  return pageOf(after, rows[0], events, events.length < of.eventsMax);
}

/** When the horizon was read, by the database's clock. */
type NowValues = readonly [...HorizonValues, nowMs: number];

type StreamRow = readonly [...NowValues, shard: number, sessionTypes: SessionTypes, ...(EventValues | NoEventValues)];
type TaskStreamRow = readonly [...NowValues, ...(EventValues | NoEventValues)];

/** Of the session that an event is about: its task types and how many of each it works on at a time. */
type SessionTypes = Readonly<Record<string, number>> | null;

function nowColumn(sql: Sql) {
  return sql`extract(epoch FROM now())::float8 * 1000`;
}

function pageOf(
  after: EventPosition,
  first: readonly [...NowValues, ...unknown[]] | undefined,
  events: readonly StoredEvent[],
  isWhole: boolean,
): StreamPage {
  const { nowMs, ...horizon } = horizonOf(first);
  const last = events.at(-1)?.position ?? after;
  const end = positionBefore(String(horizon.final), nowMs);
  // A position from before a restore may be further ahead than the clock of transactions.
  return { events, next: isWhole && comparePositions(last, end) < 0 ? end : last, isWhole, horizon };
}

function horizonOf(row: readonly [...NowValues, ...unknown[]] | undefined): Horizon & { readonly nowMs: number } {
  if (row === undefined) throw new Error('the horizon was not among the rows');
  const [final, end, nowMs] = row;
  return { final: BigInt(final), end: BigInt(end), nowMs };
}

function withSessionTypes(event: StoredEvent, types: SessionTypes): StoredEvent {
  return event.of === 'task' || types === null ? event : { ...event, sessionTypes: Object.keys(types) };
}
