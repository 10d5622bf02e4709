import type { Sql } from './database.ts';

/** An event for a webhook. */
export interface NewDelivery {
  readonly webhookId: string;
  readonly eventId: string;
  readonly eventType: string;
  /** The CloudEvent in JSON. */
  readonly event: string;
  /** The task, of formats that tell what becomes of one. */
  readonly threadId: string | null;
  readonly sequence: number;
}

/** A task that a webhook has something for in another product, or will have. */
export interface Reference {
  readonly webhookId: string;
  readonly taskId: string;
}

/**
 * Makes deliveries, due at once; those that are there already stay as they are, so that an event may come twice. One of
 * a webhook that is being deleted is not made, and the lock lets no webhook go before this transaction has ended.
 * Answers with how many were made.
 */
export async function insertNewDeliveries(
  sql: Sql,
  deliveries: readonly NewDelivery[],
  deliveryMsMax: number,
): Promise<number> {
  const { count } = await sql`
    WITH listening AS MATERIALIZED (
      SELECT id FROM webhook
      WHERE id = ANY(${[...new Set(deliveries.map((d) => d.webhookId))]}::uuid[]) AND delete_time IS NULL
      FOR KEY SHARE
    )
    INSERT INTO webhook_delivery (webhook_id, event_id, event_type, event, thread_id, sequence, expire_time)
    SELECT item.webhook_id, item.event_id, item.event_type, item.event, item.thread_id, item.sequence,
      now() + ${deliveryMsMax}::float8 * interval '1 millisecond'
    FROM unnest(
      ${deliveries.map((d) => d.webhookId)}::uuid[], ${deliveries.map((d) => d.eventId)}::text[],
      ${deliveries.map((d) => d.eventType)}::text[], ${deliveries.map((d) => d.event)}::text[],
      ${deliveries.map((d) => d.threadId)}::uuid[], ${deliveries.map((d) => d.sequence)}::int[]
    ) AS item(webhook_id, event_id, event_type, event, thread_id, sequence)
    JOIN listening ON listening.id = item.webhook_id
    ON CONFLICT DO NOTHING`;
  return count;
}

/** Notes tasks that something will be opened for, in the transaction that makes the deliveries which open it. */
export async function insertNewReferences(sql: Sql, references: readonly Reference[]): Promise<void> {
  await sql`
    INSERT INTO webhook_reference (webhook_id, task_id)
    SELECT * FROM unnest(${references.map((r) => r.webhookId)}::uuid[], ${references.map((r) => r.taskId)}::uuid[])
    ON CONFLICT DO NOTHING`;
}

/** Those of the tasks that there is a reference for, by primary key. */
export async function selectReferences(sql: Sql, tasks: readonly Reference[]): Promise<Reference[]> {
  return sql<Reference[]>`
    SELECT webhook_id AS "webhookId", task_id AS "taskId"
    FROM unnest(${tasks.map((t) => t.webhookId)}::uuid[], ${tasks.map((t) => t.taskId)}::uuid[]) AS item(webhook_id, task_id)
    JOIN webhook_reference USING (webhook_id, task_id)`;
}
