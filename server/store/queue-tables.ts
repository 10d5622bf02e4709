import { check, doublePrecision, index, integer, pgTable, primaryKey, sql, text, uuid } from './drizzle.ts';
import { instant } from './schema.ts';

/** What was left of queues with a limit when they were counted last; written under the lock of `lockQueueRoom`. */
export const queueRoom = pgTable(
  'queue_room',
  {
    namespace: text('namespace').notNull(),
    type: text('type').notNull(),
    /** Places that nobody waits in and that are not reserved. */
    free: integer('free').notNull(),
    /** The limit that this was reckoned with. */
    queueMax: integer('queue_max').notNull(),
    countTime: instant('count_time').notNull(),
    /** How long the count took. */
    tookMs: doublePrecision('took_ms').notNull(),
  },
  (table) => [primaryKey({ columns: [table.namespace, table.type] }), check('queue_room_is_not_owed', sql`free >= 0`)],
);

/**
 * Places of a queue that one node may fill. They count as taken for as long as the row is there; a task comes in by one
 * only while it holds the row in a lock that others may share, and who takes a row away passes over those that are locked.
 */
export const queueReservation = pgTable(
  'queue_reservation',
  {
    id: uuid('id').primaryKey(),
    namespace: text('namespace').notNull(),
    type: text('type').notNull(),
    places: integer('places').notNull(),
    /** When anybody may take it away. */
    expireTime: instant('expire_time').notNull(),
  },
  (table) => [
    // What is reserved of a queue.
    index('queue_reservation_type').on(table.namespace, table.type),
    index('queue_reservation_expire').on(table.expireTime),
    check('queue_reservation_has_places', sql`places > 0`),
  ],
);
