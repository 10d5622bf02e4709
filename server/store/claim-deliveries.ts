import type { Sql } from './database.ts';
import { type Endpoint, type EndpointRow, endpointColumns, endpointOf } from './endpoint.ts';

/** A delivery that a sender has, until its lease is over. */
export interface ClaimedDelivery {
  readonly webhookId: string;
  readonly eventId: string;
  readonly event: string;
  readonly threadId: string | null;
  /** With this one; also the fence. */
  readonly attempts: number;
  /** Whether it tries an endpoint whose circuit is open. */
  readonly isProbe: boolean;
  /** What its task is called in the other product; null while it is not called anything. */
  readonly externalId: string | null;
  readonly endpoint: Endpoint;
  /** `dstc.v1.EventFilter` in JSON, as its webhook has it together with this endpoint. */
  readonly filter: unknown;
}

export interface ClaimOptions {
  /** For all webhooks together, and for one that this node sends nothing to. */
  readonly deliveriesMax: number;
  readonly perWebhookMax: number;
  /** For one namespace, with what this node sends already, for each place that is free before it gets another one. */
  readonly perFreePlaceMax: number;
  /** How many this node sends to webhooks at the moment. */
  readonly sending: ReadonlyMap<string, number>;
  /** After this time a delivery whose sender said nothing is due again. */
  readonly leaseMs: number;
}

/**
 * Claims due deliveries of enabled webhooks, the soonest of each. Of a webhook with an open circuit whose time has come one
 * is claimed, on one node. A delivery waits for those of its task before it.
 *
 * Places go to the namespaces that have the fewest requests under way, and in each to the webhooks that do, and no
 * namespace takes one unless enough are left: so neither many deliveries nor slow endpoints keep others waiting. For each
 * webhook one range scan of `webhook_delivery_due`, which ends at its room.
 */
export async function claimDueDeliveries(sql: Sql, options: ClaimOptions): Promise<ClaimedDelivery[]> {
  const { deliveriesMax, perWebhookMax, perFreePlaceMax, sending, leaseMs } = options;
  const lease = sql`${leaseMs}::float8 * interval '1 millisecond'`;
  const rows = await sql<ClaimedRow[]>`
    WITH sending AS (
      SELECT * FROM unnest(${[...sending.keys()]}::uuid[], ${[...sending.values()]}::int[]) AS of(id, count)
    ), busy AS (
      SELECT namespace, sum(count)::int AS count FROM sending JOIN webhook USING (id) GROUP BY namespace
    ), to_probe AS (
      SELECT id FROM webhook AS shut
      WHERE probe_time <= now() AND disabled_time IS NULL AND delete_time IS NULL AND EXISTS (
        SELECT 1 FROM webhook_delivery
        WHERE webhook_id = shut.id AND state = 'PENDING' AND due_time <= now()
      )
      -- Whoever makes deliveries for it holds a weaker lock that this one does not wait for.
      FOR NO KEY UPDATE SKIP LOCKED
    ), found AS (
      SELECT next.*, webhook.namespace, to_probe.id IS NOT NULL AS is_probe,
        COALESCE(sending.count, 0) + row_number() OVER (PARTITION BY next.webhook_id ORDER BY next.due_time) AS turn
      FROM webhook
      LEFT JOIN to_probe USING (id)
      LEFT JOIN sending USING (id)
      CROSS JOIN LATERAL (
        SELECT webhook_id, event_id, due_time FROM webhook_delivery AS d
        WHERE d.webhook_id = webhook.id AND d.state = 'PENDING' AND d.due_time <= now()
          AND (d.thread_id IS NULL OR NOT EXISTS (
            SELECT 1 FROM webhook_delivery AS earlier
            WHERE earlier.webhook_id = d.webhook_id AND earlier.thread_id = d.thread_id AND earlier.state = 'PENDING'
              AND earlier.sequence < d.sequence
          ))
        ORDER BY d.due_time
        LIMIT CASE WHEN to_probe.id IS NULL
          THEN GREATEST(0, ${perWebhookMax}::int - COALESCE(sending.count, 0)) ELSE 1 END
        FOR UPDATE SKIP LOCKED
      ) AS next
      WHERE disabled_time IS NULL AND delete_time IS NULL AND (probe_time IS NULL OR to_probe.id IS NOT NULL)
    ), placed AS (
      SELECT found.*,
        COALESCE(busy.count, 0) + row_number() OVER (PARTITION BY namespace ORDER BY turn, due_time) AS place
      FROM found LEFT JOIN busy USING (namespace)
    ), due AS (
      SELECT webhook_id, event_id, is_probe
      FROM (SELECT placed.*, row_number() OVER (ORDER BY place, due_time) AS number FROM placed) AS numbered
      WHERE number <= ${deliveriesMax}::int
        AND place <= ${perFreePlaceMax}::int * (${deliveriesMax}::int - number + 1)
    ), probing AS (
      UPDATE webhook SET probing = true, probe_time = now() + ${lease}
      FROM due WHERE webhook.id = due.webhook_id AND due.is_probe
    ), claimed AS (
      UPDATE webhook_delivery AS d SET attempts = attempts + 1, due_time = now() + ${lease}, last_attempt_time = now()
      FROM due
      WHERE d.webhook_id = due.webhook_id AND d.event_id = due.event_id
      RETURNING d.webhook_id, d.event_id, d.event, d.thread_id, d.attempts, due.is_probe
    )
    SELECT claimed.*, reference.external_id, webhook.filter, ${endpointColumns(sql)}
    FROM claimed JOIN webhook ON webhook.id = claimed.webhook_id
    LEFT JOIN webhook_reference AS reference
      ON reference.webhook_id = claimed.webhook_id AND reference.task_id = claimed.thread_id`;
  return rows.map((row) => ({
    webhookId: row.webhook_id,
    eventId: row.event_id,
    event: row.event,
    threadId: row.thread_id,
    attempts: row.attempts,
    isProbe: row.is_probe,
    externalId: row.external_id,
    endpoint: endpointOf(row),
    filter: row.filter,
  }));
}

interface ClaimedRow extends EndpointRow {
  webhook_id: string;
  event_id: string;
  event: string;
  thread_id: string | null;
  attempts: number;
  is_probe: boolean;
  external_id: string | null;
  filter: unknown;
}
