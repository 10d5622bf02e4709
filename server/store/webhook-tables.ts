import { type WebhookFormat, webhookDeliveryStates } from '../domain/webhook.ts';
import { boolean, index, integer, jsonb, pgEnum, pgTable, primaryKey, smallint, sql, text, uuid } from './drizzle.ts';
import { bytea, instant, xid8 } from './schema.ts';

/** An endpoint that gets events by HTTP requests. */
/** A secret in base64 and when it is no good any more, in ISO 8601. */
export interface PreviousSecret {
  readonly secret: string;
  readonly expireTime: string;
}

export const webhook = pgTable(
  'webhook',
  {
    id: uuid('id').primaryKey(),
    namespace: text('namespace').notNull(),
    description: text('description').notNull(),
    url: text('url').notNull(),
    /** `dstc.v1.EventFilter` in JSON. */
    filter: jsonb('filter').notNull(),
    headers: jsonb('headers').$type<Readonly<Record<string, string>>>().notNull(),
    secretHeaders: jsonb('secret_headers').$type<Readonly<Record<string, string>>>().notNull(),
    format: jsonb('format').$type<WebhookFormat>().notNull(),
    /** What requests are signed with, and for a while what they were signed with before, the latest first. */
    secret: bytea('secret').notNull(),
    previousSecrets: jsonb('previous_secrets').$type<readonly PreviousSecret[]>().notNull().default([]),
    disabledTime: instant('disabled_time'),
    /** Why the coordinator disabled it; empty when people did. */
    disabledReason: text('disabled_reason').notNull().default(''),
    /** Events of before this stream order are not for it. */
    sinceOrder: xid8('since_order').notNull(),
    /** Failures since the last success. */
    failures: integer('failures').notNull().default(0),
    /** Since when it fails; null while it does not. */
    failingTime: instant('failing_time'),
    /** How often its circuit has opened since the last success. */
    openings: integer('openings').notNull().default(0),
    /** Of a circuit that is not closed: when one request tries the endpoint. */
    probeTime: instant('probe_time'),
    /** Whether that request is under way, which then has until the probe time to end. */
    probing: boolean('probing').notNull().default(false),
    lastSuccessTime: instant('last_success_time'),
    lastFailureTime: instant('last_failure_time'),
    lastFailure: text('last_failure').notNull().default(''),
    etag: text('etag').notNull(),
    creator: text('creator').notNull(),
    createTime: instant('create_time').notNull().defaultNow(),
    updateTime: instant('update_time').notNull().defaultNow(),
    /** Set once it was deleted; the row stays until the last of its deliveries is gone. */
    deleteTime: instant('delete_time'),
  },
  (table) => [index('webhook_namespace').on(table.namespace, table.id)],
);

export const webhookDeliveryState = pgEnum('webhook_delivery_state', webhookDeliveryStates);

/** One event for one webhook: what is to be sent, and what became of what was. */
export const webhookDelivery = pgTable(
  'webhook_delivery',
  {
    webhookId: uuid('webhook_id').notNull(),
    eventId: text('event_id').notNull(),
    eventType: text('event_type').notNull(),
    /** The CloudEvent in JSON; as text, so that it is sent byte for byte as it is signed. */
    event: text('event').notNull(),
    /** Of formats that tell what becomes of a task: which one. Its deliveries are sent in the order of their sequence. */
    threadId: uuid('thread_id'),
    sequence: integer('sequence').notNull(),
    state: webhookDeliveryState('state').notNull().default('PENDING'),
    /** Taken up by senders, since it was made or replayed; also the fence of the sender that has it. */
    attempts: integer('attempts').notNull().default(0),
    /** Of a pending one: when it is sent, or when a sender that has it is held to be lost. */
    dueTime: instant('due_time').notNull().defaultNow(),
    /** Of a pending one: when it is given up in any case. */
    expireTime: instant('expire_time').notNull(),
    createTime: instant('create_time').notNull().defaultNow(),
    lastAttemptTime: instant('last_attempt_time'),
    responseStatus: smallint('response_status'),
    durationMs: integer('duration_ms'),
    error: text('error').notNull().default(''),
  },
  (table) => [
    primaryKey({ columns: [table.webhookId, table.eventId] }),
    // The due ones of one webhook, soonest first.
    index('webhook_delivery_due').on(table.webhookId, table.dueTime).where(sql`state = 'PENDING'`),
    // Those that are given up next.
    index('webhook_delivery_expire').on(table.expireTime).where(sql`state = 'PENDING'`),
    // What goes before another one of the same task; empty for most formats.
    index('webhook_delivery_thread')
      .on(table.webhookId, table.threadId, table.sequence)
      .where(sql`state = 'PENDING' AND thread_id IS NOT NULL`),
    // The log, by state.
    index('webhook_delivery_log').on(table.webhookId, table.state, table.createTime, table.eventId),
  ],
);

/** What a task is called in another product, such as the number of an issue that was opened for it. */
export const webhookReference = pgTable(
  'webhook_reference',
  {
    webhookId: uuid('webhook_id').notNull(),
    taskId: uuid('task_id').notNull(),
    /** Null until it was opened. */
    externalId: text('external_id'),
    createTime: instant('create_time').notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ columns: [table.webhookId, table.taskId] }),
    // For retention.
    index('webhook_reference_time').on(table.createTime),
  ],
);
