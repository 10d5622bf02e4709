import type { WebhookHealth } from '../domain/webhook-circuit.ts';
import { arrayTypeIds } from './array-types.ts';
import type { Sql } from './database.ts';
import type { Reference } from './insert-deliveries.ts';

/** What became of an attempt. */
export interface DeliveryEnd {
  readonly webhookId: string;
  readonly eventId: string;
  /** The fence: of a delivery that was claimed again, or replayed, nothing is changed. */
  readonly attempts: number;
  readonly state: 'PENDING' | 'SUCCEEDED' | 'DEAD_LETTER';
  /** Of one that is tried again: how long it waits. */
  readonly delayMs: number;
  /** Of one that was not tried, so that the attempt does not count. */
  readonly isGivenBack: boolean;
  readonly responseStatus: number | null;
  readonly durationMs: number | null;
  readonly error: string;
}

/** Records what became of attempts that are still the current ones, by primary key. */
export async function settleClaimedDeliveries(sql: Sql, ends: readonly DeliveryEnd[]): Promise<void> {
  await sql`
    UPDATE webhook_delivery AS d SET state = item.state::webhook_delivery_state,
      attempts = CASE WHEN item.is_given_back THEN d.attempts - 1 ELSE d.attempts END,
      due_time = now() + item.delay_ms * interval '1 millisecond',
      response_status = COALESCE(item.response_status, CASE WHEN item.is_given_back THEN d.response_status END),
      duration_ms = COALESCE(item.duration_ms, CASE WHEN item.is_given_back THEN d.duration_ms END),
      error = CASE WHEN item.is_given_back THEN d.error ELSE item.error END
    FROM unnest(
      ${ends.map((e) => e.webhookId)}::uuid[], ${ends.map((e) => e.eventId)}::text[], ${ends.map((e) => e.attempts)}::int[],
      ${ends.map((e) => e.state)}::text[], ${ends.map((e) => e.delayMs)}::float8[],
      ${sql.typed(
        ends.map((e) => e.isGivenBack),
        arrayTypeIds.boolean,
      )}::boolean[], ${ends.map((e) => e.responseStatus)}::smallint[],
      ${ends.map((e) => e.durationMs)}::int[], ${ends.map((e) => e.error)}::text[]
    ) AS item(webhook_id, event_id, attempts, state, delay_ms, is_given_back, response_status, duration_ms, error)
    WHERE d.webhook_id = item.webhook_id AND d.event_id = item.event_id AND d.attempts = item.attempts
      -- What is given up while its last request is under way was taken all the same.
      AND (d.state = 'PENDING' OR (d.state = 'DEAD_LETTER' AND item.state = 'SUCCEEDED'))`;
}

/** Notes what tasks are called in another product. */
export async function nameReferences(
  sql: Sql,
  names: readonly (Reference & { readonly externalId: string })[],
): Promise<void> {
  await sql`
    UPDATE webhook_reference AS r SET external_id = item.external_id
    FROM unnest(${names.map((n) => n.webhookId)}::uuid[], ${names.map((n) => n.taskId)}::uuid[],
      ${names.map((n) => n.externalId)}::text[]) AS item(webhook_id, task_id, external_id)
    WHERE r.webhook_id = item.webhook_id AND r.task_id = item.task_id`;
}

export type LockedHealth = WebhookHealth & { readonly id: string };

/**
 * How webhooks fare that something is to be noted of, and until the transaction ends nobody else notes anything. One lock
 * for all, in the order of their ids, before anything is written: a statement that locked and wrote could meet a row that
 * changed in between, and two of them each other. Of those that succeed as they did seconds ago there is nothing to note.
 */
export function lockHealth(
  sql: Sql,
  { succeeding, others }: { readonly succeeding: readonly string[]; readonly others: readonly string[] },
): Promise<LockedHealth[]> {
  return sql<LockedHealth[]>`
    SELECT id, failures, openings, probe_time IS NOT NULL AS "isOpen",
      COALESCE(extract(epoch FROM now() - failing_time)::float8 * 1000, 0) AS "failingMs"
    FROM webhook
    WHERE delete_time IS NULL AND (id = ANY(${others}::uuid[]) OR id = ANY(${succeeding}::uuid[]) AND (
      failures > 0 OR probe_time IS NOT NULL OR last_success_time IS NULL
      OR last_success_time < now() - interval '5 seconds'
    ))
    ORDER BY id FOR NO KEY UPDATE`;
}

/** Notes successes of webhooks that are locked: what failed before is forgiven. */
export async function storeSuccesses(sql: Sql, webhookIds: readonly string[]): Promise<void> {
  await sql`
    UPDATE webhook SET failures = 0, failing_time = NULL, openings = 0, probe_time = NULL, probing = false,
      last_success_time = now()
    WHERE id = ANY(${webhookIds}::uuid[])`;
}

/** Has webhooks that are locked tried again at once whose probe was not sent. */
export async function giveBackProbes(sql: Sql, webhookIds: readonly string[]): Promise<void> {
  await sql`UPDATE webhook SET probing = false, probe_time = now() WHERE id = ANY(${webhookIds}::uuid[]) AND probing`;
}

/** What a webhook that has failed becomes. */
export interface Failing {
  readonly id: string;
  readonly failures: number;
  readonly openings: number;
  /** How long its circuit is open from now on; null leaves it as it is. */
  readonly openMs: number | null;
  /** What was wrong. */
  readonly failure: string;
  /** Disables it; null does not. */
  readonly disabledReason: string | null;
}

/** Notes failures of webhooks that are locked. */
export async function storeFailures(sql: Sql, failing: readonly Failing[]): Promise<void> {
  await sql`
    UPDATE webhook SET failures = item.failures, openings = item.openings,
      failing_time = COALESCE(failing_time, now()), last_failure_time = now(), last_failure = item.failure,
      probe_time = CASE WHEN item.open_ms IS NULL THEN probe_time
        ELSE now() + item.open_ms * interval '1 millisecond' END,
      probing = probing AND item.open_ms IS NULL,
      disabled_time = CASE WHEN item.disabled_reason IS NULL THEN disabled_time ELSE COALESCE(disabled_time, now()) END,
      disabled_reason = CASE WHEN item.disabled_reason IS NULL OR disabled_time IS NOT NULL THEN webhook.disabled_reason
        ELSE item.disabled_reason END,
      etag = CASE WHEN item.disabled_reason IS NULL THEN etag ELSE gen_random_uuid()::text END
    FROM unnest(
      ${failing.map((f) => f.id)}::uuid[], ${failing.map((f) => f.failures)}::int[],
      ${failing.map((f) => f.openings)}::int[], ${failing.map((f) => f.openMs)}::float8[],
      ${failing.map((f) => f.failure)}::text[], ${failing.map((f) => f.disabledReason)}::text[]
    ) AS item(id, failures, openings, open_ms, failure, disabled_reason)
    WHERE webhook.id = item.id`;
}
