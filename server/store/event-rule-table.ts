import { bigint, jsonb, pgTable, primaryKey, smallint, text, timestamp } from './drizzle.ts';

/** Rules by which events from outside become tasks; templates and expressions as they were applied. */
export const eventRule = pgTable(
  'event_rule',
  {
    namespace: text('namespace').notNull(),
    name: text('name').notNull(),
    description: text('description').notNull(),
    eventType: text('event_type').notNull(),
    /** Empty is any. */
    eventSource: text('event_source').notNull(),
    condition: text('condition').notNull(),
    taskType: text('task_type').notNull(),
    // As text, because jsonb would refuse the \u0000 that a template may rightly contain. Null hands on the event's data.
    input: text('input'),
    labels: jsonb('labels').$type<Record<string, string>>().notNull(),
    priority: smallint('priority'),
    delayMs: bigint('delay_ms', { mode: 'number' }).notNull(),
    etag: text('etag').notNull(),
    createTime: timestamp('create_time', { withTimezone: true, mode: 'date' }).notNull().defaultNow(),
    updateTime: timestamp('update_time', { withTimezone: true, mode: 'date' }).notNull().defaultNow(),
  },
  (table) => [primaryKey({ columns: [table.namespace, table.name] })],
);
