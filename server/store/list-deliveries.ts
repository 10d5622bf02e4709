import type { WebhookDeliveryState } from '../domain/webhook.ts';
import type { Sql } from './database.ts';
import { type DeliveryScope, isInScope } from './delivery-scope.ts';

/** A delivery as the log has it. */
export interface DeliveryRow {
  readonly eventId: string;
  readonly eventType: string;
  readonly state: WebhookDeliveryState;
  readonly attempts: number;
  readonly createMs: number;
  readonly lastAttemptMs: number | null;
  readonly dueMs: number;
  readonly responseStatus: number | null;
  readonly durationMs: number | null;
  readonly error: string;
  readonly externalId: string | null;
}

/** A place in the log: when a delivery was made, in microseconds, and which one it is. */
export interface DeliveryPosition {
  readonly createMicros: string;
  readonly eventId: string;
}

export type LoggedDelivery = DeliveryRow & DeliveryPosition;

/**
 * A page of a webhook's deliveries in some states, newest first: one range scan of `webhook_delivery_log` a state, which
 * passes over what is out of scope.
 */
export function selectDeliveries(
  sql: Sql,
  filter: {
    readonly webhookId: string;
    readonly scope: DeliveryScope;
    readonly states: readonly WebhookDeliveryState[];
  },
  page: { readonly after: DeliveryPosition | undefined; readonly size: number },
): Promise<LoggedDelivery[]> {
  const { after } = page;
  return sql<LoggedDelivery[]>`
    SELECT found.event_id AS "eventId", event_type AS "eventType", found.state, attempts,
      extract(epoch FROM found.create_time)::float8 * 1000 AS "createMs", extract(epoch FROM last_attempt_time)::float8 * 1000 AS "lastAttemptMs",
      extract(epoch FROM due_time)::float8 * 1000 AS "dueMs", response_status AS "responseStatus", duration_ms AS "durationMs", error,
      reference.external_id AS "externalId",
      (extract(epoch FROM found.create_time) * 1000000)::bigint::text AS "createMicros"
    FROM unnest(${filter.states}::text[]) AS wanted(state) CROSS JOIN LATERAL (
      SELECT * FROM webhook_delivery AS d
      WHERE d.webhook_id = ${filter.webhookId}::uuid AND d.state = wanted.state::webhook_delivery_state
        AND ${isInScope(sql, filter.scope)}
        AND (${after === undefined}::boolean OR (d.create_time, d.event_id) <
          ('epoch'::timestamptz + ${after?.createMicros ?? '0'}::bigint * interval '1 microsecond', ${after?.eventId ?? ''}))
      ORDER BY d.create_time DESC, d.event_id DESC
      LIMIT ${page.size}::int
    ) AS found
    LEFT JOIN webhook_reference AS reference
      ON reference.webhook_id = found.webhook_id AND reference.task_id = found.thread_id
    ORDER BY found.create_time DESC, found.event_id DESC
    LIMIT ${page.size}::int`;
}

/** How many deliveries of a webhook wait and were given up, each counted up to a bound. */
export async function countDeliveries(
  sql: Sql,
  { webhookId, scope }: { readonly webhookId: string; readonly scope: DeliveryScope },
  countMax: number,
): Promise<{ readonly pending: number; readonly deadLetters: number }> {
  const count = (state: WebhookDeliveryState) => sql`
    (SELECT count(*)::int FROM (
      SELECT FROM webhook_delivery WHERE webhook_id = ${webhookId}::uuid AND state = ${state}::webhook_delivery_state
        AND ${isInScope(sql, scope)}
      LIMIT ${countMax}::int
    ) AS counted)`;
  const [row] = await sql<{ pending: number; dead_letters: number }[]>`
    SELECT ${count('PENDING')} AS pending, ${count('DEAD_LETTER')} AS dead_letters`;
  if (row === undefined) throw new Error('a select without a condition answered with no row');
  return { pending: row.pending, deadLetters: row.dead_letters };
}
