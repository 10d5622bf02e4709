import type { SystemEventData, SystemEventKind } from '../domain/system-event.ts';
import {
  bigint,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  smallint,
  sql,
  text,
  uniqueIndex,
  uuid,
} from './drizzle.ts';
import { instant, type StoredError, taskEventKind, taskState, xid8 } from './schema.ts';

/**
 * Append-only history, partitioned by day (see the migration); also the outbox.
 *
 * Events are read in the order (stream_order, task_id, sequence). An event's stream order is the id of its transaction, or
 * that of its task's last event where that is higher: a transaction may have got its id before it waited for the task's
 * row. So events of a task are in the order of their sequence, and once all transactions below a stream order have ended,
 * nothing can come before it any more. See `select-events.ts`.
 */
export const taskEvent = pgTable(
  'task_event',
  {
    taskId: uuid('task_id').notNull(),
    sequence: integer('sequence').notNull(),
    time: instant('time').notNull().defaultNow(),
    namespace: text('namespace').notNull(),
    type: text('type').notNull(),
    kind: taskEventKind('kind').notNull(),
    state: taskState('state').notNull(),
    attempt: integer('attempt').notNull(),
    actor: text('actor').notNull(),
    leaseId: uuid('lease_id'),
    sessionId: uuid('session_id'),
    error: jsonb('error').$type<StoredError>(),
    reason: text('reason'),
    retryDelayMs: bigint('retry_delay_ms', { mode: 'number' }),
    streamOrder: xid8('stream_order').notNull().default(sql`pg_current_xact_id()`),
  },
  (table) => [
    primaryKey({ columns: [table.taskId, table.sequence, table.time] }),
    // Each shard's events in the order of the stream. Those of one transaction share an entry.
    index('task_event_stream').on(sql`(get_byte(uuid_send(task_id), 15) & 7)`, table.streamOrder),
  ],
);

/** Append-only history of what is no task: task types, their circuits, namespaces, worker sessions and the policy. */
export const systemEvent = pgTable(
  'system_event',
  {
    id: uuid('id').primaryKey(),
    /** Which thing it is about, as one id; see `insert-system-events.ts`. */
    subjectId: uuid('subject_id').notNull(),
    /** 1, 2, 3 … for each thing. */
    sequence: integer('sequence').notNull(),
    time: instant('time').notNull().defaultNow(),
    namespace: text('namespace').notNull(),
    kind: text('kind').$type<SystemEventKind>().notNull(),
    /** What it is called: a task type, a worker session, a namespace. */
    subject: text('subject').notNull(),
    actor: text('actor').notNull(),
    data: jsonb('data').$type<SystemEventData>().notNull(),
    streamOrder: xid8('stream_order').notNull(),
  },
  (table) => [
    // The last event of a thing.
    uniqueIndex('system_event_subject').on(table.subjectId, table.sequence),
    index('system_event_stream').on(sql`(get_byte(uuid_send(subject_id), 15) & 7)`, table.streamOrder),
    // For retention.
    index('system_event_time').on(table.time),
  ],
);

/** How far a reader of all events has come in each shard, and which node reads for it now; see `event-readers.ts`. */
export const eventReader = pgTable(
  'event_reader',
  {
    /** `nats` or `webhooks`. */
    reader: text('reader').notNull(),
    shard: smallint('shard').notNull(),
    /** Everything up to this position has been dealt with. */
    streamOrder: xid8('stream_order').notNull(),
    subjectId: uuid('subject_id').notNull(),
    sequence: integer('sequence').notNull(),
    time: instant('time').notNull(),
    /** Who reads, for as long as it gives signs of life; null is nobody. */
    node: text('node'),
    /** Grows with each new holder, so that a write of one that was gone for long is refused. */
    epoch: integer('epoch').notNull().default(0),
    /** Where everything that was read is now, such as a stream of its own; null when it was not said. */
    target: text('target'),
  },
  (table) => [primaryKey({ columns: [table.reader, table.shard] })],
);

/** The nodes that share the shards of a reader, each for as long as it gives signs of life. */
export const eventReaderNode = pgTable(
  'event_reader_node',
  {
    reader: text('reader').notNull(),
    node: text('node').notNull(),
    expireTime: instant('expire_time').notNull(),
  },
  (table) => [primaryKey({ columns: [table.reader, table.node] })],
);
