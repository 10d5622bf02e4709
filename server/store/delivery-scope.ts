import type { Sql } from './database.ts';

/** Those deliveries of a webhook that its filter covers, as far as permissions go by it. */
export interface DeliveryScope {
  /** Of events that concern one of these task types; empty means any event. */
  readonly taskTypes: readonly string[];
  /** Not of events whose types begin so. */
  readonly typesLeftOut: readonly string[];
}

/** Events whose types begin so have a task type in their envelope. */
const eventsOfTaskTypes = ['dstc.task.', 'dstc.task_type.', 'dstc.circuit.'];

/**
 * Whether a row of `webhook_delivery` is in a scope; a look at the row for each that an index scan finds, half a second for
 * 100,000 that are not. The task type is the first one in the text of the CloudEvent: the envelope comes before what people
 * have written, and quotes in its values are escaped. A cast to JSON would fail on characters that Postgres has no text for,
 * and a regular expression takes ten times as long.
 */
export function isInScope(sql: Sql, { taskTypes, typesLeftOut }: DeliveryScope) {
  const isOfType =
    taskTypes.length === 0
      ? sql`true`
      : sql`event_type ^@ ANY(${eventsOfTaskTypes}::text[])
          AND split_part(split_part(event, '"tasktype":"', 2), '"', 1) = ANY(${taskTypes}::text[])`;
  return sql`(${isOfType} AND NOT event_type ^@ ANY(${typesLeftOut}::text[]))`;
}
