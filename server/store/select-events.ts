import type { EventPosition } from '../domain/event-position.ts';
import { eventShards, shardOf } from '../domain/event-position.ts';
import type { EventKind } from '../domain/lifecycle.ts';
import type { SystemEventData, SystemEventKind } from '../domain/system-event.ts';
import type { TaskState } from '../domain/task-state.ts';
import type { Sql } from './database.ts';
import { rowsOfValues } from './rows-of-values.ts';
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
  // What is asked of a shard is asked and told once, and not for each event.
  const rows = await rowsOfValues<PageRow>(sql`
    WITH wanted AS MATERIALIZED (
      SELECT wanted.*, ${isLost} AS is_lost, ${horizonColumns(sql)}
      FROM unnest(
        ${shards.map(({ shard }) => shard)}::int[], ${shards.map(({ after }) => after.order)}::text[]::xid8[],
        ${shards.map(({ after }) => after.subjectId)}::uuid[], ${shards.map(({ after }) => after.sequence)}::int[],
        ${shards.map(({ after }) => after.timeMs)}::float8[], ${shards.map(({ epoch = 0 }) => epoch)}::int[]
      ) AS wanted(shard, stream_order, subject_id, sequence, time_ms, epoch)
    )
    SELECT ${eventColumns(sql)},
      CASE WHEN coalesce(found.ordinality, 1) = 1
        THEN json_build_object('shard', shard, 'isLost', is_lost, 'final', final, 'end', "end") END
    FROM wanted
    LEFT JOIN LATERAL dstc_events_after(wanted.shard, wanted.stream_order, wanted.subject_id, wanted.sequence,
      to_timestamp(wanted.time_ms / 1000) - ${timeSlack}::interval, ${eventsMax}::int) WITH ORDINALITY AS found ON true`);
  const byShard = new Map(shards.map(({ shard }): [number, StoredEvent[]] => [shard, []]));
  const lost = new Set<number>();
  let horizon: EventPage['horizon'] | undefined;
  for (const row of rows) {
    const event = eventIn(row, 0);
    if (event !== undefined) byShard.get(shardOf(event.position.subjectId))?.push(event);
    const facts = row[eventWidth];
    if (facts === null) continue;
    const { shard, isLost, final, end } = facts;
    if (isLost) lost.add(shard);
    horizon = { final, end };
  }
  if (horizon === undefined) throw new Error('events were read of no shard');
  return { shards: shards.map(({ shard }) => ({ shard, events: byShard.get(shard) ?? [] })), lost, horizon };
}

/** What is the same for all events of a shard stands beside the first one, or alone where there is none. */
type PageRow = readonly [...(EventValues | NoEventValues), facts: ShardFacts | null];

interface ShardFacts {
  readonly shard: number;
  readonly isLost: boolean;
  readonly final: string;
  readonly end: string;
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

export type HorizonValues = readonly [final: string, end: string];

export function horizonColumns(sql: Sql) {
  return sql`pg_snapshot_xmin(pg_current_snapshot())::text AS final, pg_snapshot_xmax(pg_current_snapshot())::text AS end`;
}

/** The values of `eventColumns`. */
export type EventValues = readonly [
  order: string,
  subjectId: string,
  sequence: number,
  timeMs: number,
  namespace: string,
  actor: string,
  isTask: boolean,
  type: string,
  kind: string,
  state: TaskState,
  attempt: number,
  leaseId: string | null,
  sessionId: string | null,
  error: StoredError | null,
  reason: string | null,
  retryDelayMs: string | null,
  labels: Readonly<Record<string, string>> | null,
  traceParent: string | null,
  id: string,
  subject: string,
  data: SystemEventData,
];

/** What stands for a shard that has no events. */
export type NoEventValues = Nulls<EventValues>;
type Nulls<Values extends readonly unknown[]> = { readonly [Index in keyof Values]: null };

/** How many columns those are. */
const eventWidth = 21 satisfies EventValues['length'];

/** Of rows of `dstc_events_after`, or that look like them, under the name `found`. */
export function eventColumns(sql: Sql) {
  return sql`found.stream_order, found.subject_id, found.sequence, date_part('epoch', found.time) * 1000,
    found.namespace, found.actor, found.is_task, found.type, found.kind, found.state, found.attempt, found.lease_id,
    found.session_id, found.error, found.reason, found.retry_delay_ms, found.labels, found.trace_parent,
    found.id, found.subject, found.data`;
}

/** The event of a row that has `before` other columns in front of it; undefined where there is none. */
export function eventIn(row: readonly unknown[], before: number): StoredEvent | undefined {
  const values = (before === 0 ? row : row.slice(before)) as unknown as EventValues | NoEventValues;
  return values[0] === null ? undefined : toStoredEvent(values as EventValues);
}

function toStoredEvent(values: EventValues): StoredEvent {
  const [
    order,
    subjectId,
    sequence,
    timeMs,
    namespace,
    actor,
    isTask,
    type,
    kind,
    state,
    attempt,
    leaseId,
    sessionId,
    error,
    reason,
    retryDelayMs,
    labels,
    traceParent,
    id,
    subject,
    data,
  ] = values;
  const position = { order, subjectId, sequence, timeMs };
  if (!isTask) return { of: 'system', position, namespace, actor, id, kind: kind as SystemEventKind, subject, data };
  return {
    of: 'task',
    position,
    namespace,
    actor,
    type,
    kind: kind as EventKind,
    state,
    attempt,
    leaseId,
    sessionId,
    error,
    reason,
    retryDelayMs: retryDelayMs === null ? null : Number(retryDelayMs),
    labels: labels ?? {},
    traceParent,
  };
}
