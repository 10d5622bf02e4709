import type { Sql } from './database.ts';

/**
 * Gives up deliveries whose time is over, by index `webhook_delivery_expire`: what waits for an endpoint that is disabled
 * or whose circuit is open is not tried at all. A bounded number; answers with how many.
 */
export async function expireDeliveries(sql: Sql, deliveriesMax: number): Promise<number> {
  const { count } = await sql`
    WITH over AS (
      SELECT webhook_id, event_id FROM webhook_delivery
      WHERE state = 'PENDING' AND expire_time <= now()
      ORDER BY expire_time LIMIT ${deliveriesMax}::int FOR UPDATE SKIP LOCKED
    )
    UPDATE webhook_delivery AS d SET state = 'DEAD_LETTER',
      error = CASE WHEN d.error = '' THEN 'it was not sent in time' ELSE d.error END
    FROM over WHERE d.webhook_id = over.webhook_id AND d.event_id = over.event_id`;
  return count;
}

export interface LogBounds {
  readonly pendingMax: number;
  readonly deadLettersMax: number;
  readonly succeededMax: number;
  readonly logMsMax: number;
}

/**
 * Gives up the oldest of what waits for webhooks that have too much waiting; answers with how many. A walk along
 * `webhook_delivery_log` finds the oldest one that may stay; for a webhook that nothing waits for it ends at once. Those
 * that were made together stay together.
 */
export async function giveUpExcess(sql: Sql, { pendingMax }: LogBounds, deliveriesMax: number): Promise<number> {
  const { count } = await sql`
    WITH excess AS (
      SELECT old.webhook_id, old.event_id
      FROM webhook CROSS JOIN LATERAL (
        SELECT create_time FROM webhook_delivery AS d
        WHERE d.webhook_id = webhook.id AND d.state = 'PENDING'
        ORDER BY d.create_time DESC, d.event_id DESC OFFSET ${pendingMax - 1}::int LIMIT 1
      ) AS edge CROSS JOIN LATERAL (
        SELECT webhook_id, event_id FROM webhook_delivery AS d
        WHERE d.webhook_id = webhook.id AND d.state = 'PENDING' AND d.create_time < edge.create_time
        ORDER BY d.create_time, d.event_id LIMIT ${deliveriesMax}::int FOR UPDATE SKIP LOCKED
      ) AS old
    )
    UPDATE webhook_delivery AS d SET state = 'DEAD_LETTER', error = 'too much waited for the endpoint'
    FROM excess WHERE d.webhook_id = excess.webhook_id AND d.event_id = excess.event_id`;
  return count;
}

/** Deletes what ended and is too old, or too much, in the same way; a bounded number. Answers with how many. */
export async function deleteOldDeliveries(sql: Sql, bounds: LogBounds, deliveriesMax: number): Promise<number> {
  const { count } = await sql`
    WITH old AS (
      SELECT row.webhook_id, row.event_id
      FROM webhook
      CROSS JOIN (
        VALUES ('SUCCEEDED'::webhook_delivery_state, ${bounds.succeededMax - 1}::int),
          ('DEAD_LETTER', ${bounds.deadLettersMax - 1}::int)
      ) AS kept(state, others_max)
      CROSS JOIN LATERAL (
        SELECT GREATEST(now() - ${bounds.logMsMax}::float8 * interval '1 millisecond', (
          SELECT create_time FROM webhook_delivery AS d
          WHERE d.webhook_id = webhook.id AND d.state = kept.state
          ORDER BY d.create_time DESC, d.event_id DESC OFFSET kept.others_max LIMIT 1
        )) AS create_time
      ) AS edge
      CROSS JOIN LATERAL (
        SELECT webhook_id, event_id FROM webhook_delivery AS d
        WHERE d.webhook_id = webhook.id AND d.state = kept.state AND d.create_time < edge.create_time
        ORDER BY d.create_time, d.event_id LIMIT ${deliveriesMax}::int FOR UPDATE SKIP LOCKED
      ) AS row
      LIMIT ${deliveriesMax}::int
    )
    DELETE FROM webhook_delivery AS d USING old WHERE d.webhook_id = old.webhook_id AND d.event_id = old.event_id`;
  return count;
}

/** Deletes what webhooks that were deleted have left, by primary key; a bounded number. Answers with how many. */
export async function deleteAbandonedDeliveries(sql: Sql, deliveriesMax: number): Promise<number> {
  const { count } = await sql`
    WITH abandoned AS (
      SELECT left_over.webhook_id, left_over.event_id FROM webhook CROSS JOIN LATERAL (
        SELECT webhook_id, event_id FROM webhook_delivery AS d WHERE d.webhook_id = webhook.id
        ORDER BY d.event_id LIMIT ${deliveriesMax}::int FOR UPDATE SKIP LOCKED
      ) AS left_over
      WHERE delete_time IS NOT NULL
      LIMIT ${deliveriesMax}::int
    )
    DELETE FROM webhook_delivery AS d USING abandoned
    WHERE d.webhook_id = abandoned.webhook_id AND d.event_id = abandoned.event_id`;
  return count;
}

/** Deletes references of tasks that nothing was opened for lately, and of webhooks that were deleted. */
export async function deleteOldReferences(sql: Sql, referenceMsMax: number, referencesMax: number): Promise<number> {
  const { count } = await sql`
    DELETE FROM webhook_reference WHERE (webhook_id, task_id) IN (
      (
        SELECT webhook_id, task_id FROM webhook_reference
        WHERE create_time < now() - ${referenceMsMax}::float8 * interval '1 millisecond'
        ORDER BY create_time LIMIT ${referencesMax}::int
      ) UNION ALL (
        SELECT r.webhook_id, r.task_id FROM webhook JOIN webhook_reference AS r ON r.webhook_id = webhook.id
        WHERE delete_time IS NOT NULL LIMIT ${referencesMax}::int
      )
    )`;
  return count;
}

/**
 * Removes webhooks that were deleted and have nothing left. In a transaction: once a row is locked no delivery is being
 * made for it, and the second statement sees those that were made until then.
 */
export async function removeEmptyWebhooks(sql: Sql): Promise<void> {
  const locked = await sql<{ id: string }[]>`
    SELECT id FROM webhook WHERE delete_time IS NOT NULL ORDER BY id FOR UPDATE SKIP LOCKED`;
  if (locked.length === 0) return;
  await sql`
    DELETE FROM webhook WHERE id = ANY(${locked.map(({ id }) => id)}::uuid[])
      AND NOT EXISTS (SELECT 1 FROM webhook_delivery WHERE webhook_id = webhook.id)
      AND NOT EXISTS (SELECT 1 FROM webhook_reference WHERE webhook_id = webhook.id)`;
}

/** What operators watch, over all nodes; what waits is counted up to a bound, which takes milliseconds. */
export async function selectWebhookFigures(
  sql: Sql,
  countMax: number,
): Promise<{ readonly pending: number; readonly openCircuits: number }> {
  const [row] = await sql<{ pending: number; open_circuits: number }[]>`
    SELECT
      (SELECT count(*)::int FROM (
        SELECT FROM webhook_delivery WHERE state = 'PENDING' LIMIT ${countMax}::int
      ) AS counted) AS pending,
      (SELECT count(*)::int FROM webhook
        WHERE probe_time IS NOT NULL AND disabled_time IS NULL AND delete_time IS NULL) AS open_circuits`;
  if (row === undefined) throw new Error('a select without a condition answered with no row');
  return { pending: row.pending, openCircuits: row.open_circuits };
}
