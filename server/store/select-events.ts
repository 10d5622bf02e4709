import type { EventPosition } from '../domain/event-position.ts';
import { eventShards } from '../domain/event-position.ts';
import type { EventKind } from '../domain/lifecycle.ts';
import type { SystemEventData, SystemEventKind } from '../domain/system-event.ts';
import type { TaskState } from '../domain/task-state.ts';
import type { Sql } from './database.ts';
import type { StoredError } from './schema.ts';

interface EventBase {
  readonly position: EventPosition;
  readonly namespace: string;
  readonly actor: string;
}

/** An event of a task, with what is known of the task. */
export interface StoredTaskEvent extends EventBase {
  readonly of: 'task';
  readonly type: string;
  readonly kind: EventKind;
  readonly state: TaskState;
  readonly attempt: number;
  readonly leaseId: string | null;
  readonly sessionId: string | null;
  readonly error: StoredError | null;
  readonly reason: string | null;
  readonly retryDelayMs: number | null;
  /** Empty once the task is deleted. */
  readonly labels: Readonly<Record<string, string>>;
  readonly traceParent: string | null;
}

/** An event of what is no task. */
export interface StoredSystemEvent extends EventBase {
  readonly of: 'system';
  readonly id: string;
  readonly kind: SystemEventKind;
  readonly subject: string;
  readonly data: SystemEventData;
  /** Of a worker session: its task types, where they were asked for and are still known. */
  readonly sessionTypes?: readonly string[];
}

export type StoredEvent = StoredTaskEvent | StoredSystemEvent;

/** Where to go on in one shard. */
export interface ShardPosition {
  readonly shard: number;
  readonly after: EventPosition;
}

/** Whoever reads shards that are its own; see `event-readers.ts`. */
export interface ShardHolder {
  readonly reader: string;
  readonly node: string;
}

export interface ShardEvents {
  readonly shard: number;
  /** In order. */
  readonly events: readonly StoredEvent[];
}

/** What is there of each shard, and which part of the stream was final when it was read. */
export interface EventPage {
  readonly shards: readonly ShardEvents[];
  /** Those of the shards that are not the holder's any more. */
  readonly lost: ReadonlySet<number>;
  /** Stream orders, in decimal digits. Nothing can come before `final` any more; what is committed is before `end`. */
  readonly horizon: { readonly final: string; readonly end: string };
}

/** All shards from the same position on. */
export function allShardsAfter(after: EventPosition): ShardPosition[] {
  return Array.from({ length: eventShards }, (_, shard) => ({ shard, after }));
}

/** An event did not happen longer than this before another one that stands earlier in the stream; transactions are short. */
export const timeSlack = '1 day';

/**
 * The next `eventsMax` events of each shard. Only those that nothing can come before any more: events of transactions
 * that are younger than one still under way are left for later, whether or not they have ended. So whoever goes on after
 * the last one misses nothing, however late a commit comes.
 *
 * Indexes `task_event_stream` and `system_event_stream` hold each shard in the order of the stream, so each is one range scan
 * that ends after `eventsMax` rows, in the partitions of the days that are left; the function in the migration holds
 * the planner to that.
 */
export async function selectEventPage(
  sql: Sql,
  shards: readonly (ShardPosition & { readonly epoch?: number })[],
  eventsMax: number,
  holder?: ShardHolder,
): Promise<EventPage> {
  const isLost =
    holder === undefined
      ? sql`false`
      : sql`NOT EXISTS (SELECT 1 FROM event_reader AS held WHERE held.reader = ${holder.reader}
          AND held.shard = wanted.shard AND held.epoch = wanted.epoch AND held.node = ${holder.node})`;
  const rows = await sql<(EventRow | EmptyRow)[]>`
    SELECT wanted.shard, ${isLost} AS is_lost, found.*, extract(epoch FROM found.time)::float8 * 1000 AS time_ms,
      pg_snapshot_xmin(pg_current_snapshot())::text AS horizon_final,
      pg_snapshot_xmax(pg_current_snapshot())::text AS horizon_end
    FROM unnest(
      ${shards.map(({ shard }) => shard)}::int[], ${shards.map(({ after }) => after.order)}::text[]::xid8[],
      ${shards.map(({ after }) => after.subjectId)}::uuid[], ${shards.map(({ after }) => after.sequence)}::int[],
      ${shards.map(({ after }) => after.timeMs)}::float8[], ${shards.map(({ epoch = 0 }) => epoch)}::int[]
    ) AS wanted(shard, stream_order, subject_id, sequence, time_ms, epoch)
    LEFT JOIN LATERAL dstc_events_after(wanted.shard, wanted.stream_order, wanted.subject_id, wanted.sequence,
      to_timestamp(wanted.time_ms / 1000) - ${timeSlack}::interval, ${eventsMax}::int) AS found ON true`;
  const [first] = rows;
  if (first === undefined) throw new Error('events were read of no shard');
  const byShard = Map.groupBy(rows, (row) => row.shard);
  return {
    shards: shards.map(({ shard }) => ({
      shard,
      events: (byShard.get(shard) ?? []).flatMap((row) => (row.stream_order === null ? [] : toStoredEvent(row))),
    })),
    lost: new Set(rows.flatMap((row) => (row.is_lost ? row.shard : []))),
    horizon: { final: first.horizon_final, end: first.horizon_end },
  };
}

/** The events of such a page. */
export async function selectEventsAfter(
  sql: Sql,
  shards: readonly ShardPosition[],
  eventsMax: number,
): Promise<readonly ShardEvents[]> {
  return (await selectEventPage(sql, shards, eventsMax)).shards;
}

/** Before every event that is committed from now on, and after every one that a reader could have seen before. */
export async function selectStreamEnd(sql: Sql): Promise<{ readonly order: string; readonly timeMs: number }> {
  const [row] = await sql<{ order: string; time_ms: number }[]>`
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS order, extract(epoch FROM now())::float8 * 1000 AS time_ms`;
  if (row === undefined) throw new Error('a select without a condition answered with no row');
  return { order: row.order, timeMs: row.time_ms };
}

/** What stands for a shard that has no events. */
export interface EmptyRow {
  shard: number;
  is_lost: boolean;
  stream_order: null;
  horizon_final: string;
  horizon_end: string;
}

export interface EventRow extends Omit<EmptyRow, 'stream_order'> {
  stream_order: string;
  subject_id: string;
  sequence: number;
  time_ms: number;
  namespace: string;
  actor: string;
  is_task: boolean;
  type: string;
  kind: string;
  state: TaskState;
  attempt: number;
  lease_id: string | null;
  session_id: string | null;
  error: StoredError | null;
  reason: string | null;
  retry_delay_ms: string | null;
  id: string;
  subject: string;
  data: SystemEventData;
  labels: Record<string, string> | null;
  trace_parent: string | null;
}

export function toStoredEvent(row: EventRow): StoredEvent {
  const base: EventBase = {
    position: { order: row.stream_order, subjectId: row.subject_id, sequence: row.sequence, timeMs: row.time_ms },
    namespace: row.namespace,
    actor: row.actor,
  };
  if (!row.is_task) {
    return {
      ...base,
      of: 'system',
      id: row.id,
      kind: row.kind as SystemEventKind,
      subject: row.subject,
      data: row.data,
    };
  }
  return {
    ...base,
    of: 'task',
    type: row.type,
    kind: row.kind as EventKind,
    state: row.state,
    attempt: row.attempt,
    leaseId: row.lease_id,
    sessionId: row.session_id,
    error: row.error,
    reason: row.reason,
    retryDelayMs: row.retry_delay_ms === null ? null : Number(row.retry_delay_ms),
    labels: row.labels ?? {},
    traceParent: row.trace_parent,
  };
}
