import type { Sql } from './database.ts';
import { type DeliveryScope, isInScope } from './delivery-scope.ts';
import type { DeliveryPosition } from './list-deliveries.ts';

/** Makes one delivery in scope due now, in whatever state it is, with all its attempts before it; whether there is one. */
export async function replayDelivery(
  sql: Sql,
  which: { readonly webhookId: string; readonly scope: DeliveryScope; readonly eventId: string },
  deliveryMsMax: number,
): Promise<boolean> {
  const { count } = await sql`
    UPDATE webhook_delivery SET ${anew(sql, deliveryMsMax)}
    WHERE webhook_id = ${which.webhookId}::uuid AND event_id = ${which.eventId} AND ${isInScope(sql, which.scope)}`;
  return count === 1;
}

export interface ReplayedPage {
  readonly replayed: number;
  /** Where to go on; undefined when nothing is left. */
  readonly next: DeliveryPosition | undefined;
}

/**
 * Makes deliveries in scope due that ended in any of these states and were made in a span of time, oldest first after a
 * position: a range scan of `webhook_delivery_log` for each state, which never meets what this replay, or a sender, has
 * moved.
 */
export async function replayEndedDeliveries(
  sql: Sql,
  which: {
    readonly webhookId: string;
    readonly scope: DeliveryScope;
    readonly states: readonly ('SUCCEEDED' | 'DEAD_LETTER')[];
    readonly since: Date | undefined;
  },
  page: { readonly after: DeliveryPosition | undefined; readonly size: number },
  deliveryMsMax: number,
): Promise<ReplayedPage> {
  const { after, size } = page;
  const rows = await sql<DeliveryPosition[]>`
    WITH next AS (
      SELECT event_id, create_time FROM unnest(${which.states}::text[]) AS wanted(state) CROSS JOIN LATERAL (
        SELECT event_id, create_time FROM webhook_delivery AS d
        WHERE d.webhook_id = ${which.webhookId}::uuid AND d.state = wanted.state::webhook_delivery_state
          AND ${isInScope(sql, which.scope)}
          AND d.create_time >= ${which.since?.toISOString() ?? '-infinity'}::text::timestamptz
          AND (d.create_time, d.event_id) >
            ('epoch'::timestamptz + ${after?.createMicros ?? '0'}::bigint * interval '1 microsecond', ${after?.eventId ?? ''})
        ORDER BY d.create_time, d.event_id
        LIMIT ${size}::int
      ) AS found
      ORDER BY create_time, event_id
      LIMIT ${size}::int
    ), replayed AS (
      UPDATE webhook_delivery AS d SET ${anew(sql, deliveryMsMax)}
      FROM next
      WHERE d.webhook_id = ${which.webhookId}::uuid AND d.event_id = next.event_id AND d.state <> 'PENDING'
    )
    SELECT event_id AS "eventId", (extract(epoch FROM create_time) * 1000000)::bigint::text AS "createMicros"
    FROM next ORDER BY create_time, event_id`;
  return { replayed: rows.length, next: rows.length < size ? undefined : rows.at(-1) };
}

function anew(sql: Sql, deliveryMsMax: number) {
  return sql`state = 'PENDING', attempts = 0, due_time = now(), error = '',
    expire_time = now() + ${deliveryMsMax}::float8 * interval '1 millisecond'`;
}
