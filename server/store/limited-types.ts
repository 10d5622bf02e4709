import type { Rate, TypeLimits } from '../domain/type-limits.ts';
import type { Sql } from './database.ts';

export interface TypeName {
  readonly namespace: string;
  readonly type: string;
}

/**
 * Writes what claims have to respect of a type from now on. Buckets keep what they hold; leases of before a limit on
 * concurrency come to count with the next claims.
 */
export async function writeLimitedType(
  sql: Sql,
  { namespace, type }: TypeName,
  limits: TypeLimits | null,
): Promise<void> {
  const { key, concurrencyMax, concurrencyPerKeyMax, rate, ratePerKey } = limits ?? unlimited;
  const isLimited = (key ?? concurrencyMax ?? concurrencyPerKeyMax ?? rate ?? ratePerKey) !== null;
  await sql`
    WITH written AS (
      SELECT ${namespace}::text AS namespace, ${type}::text AS type, ${key !== null}::boolean AS keyed,
        ${concurrencyMax}::int AS concurrency_max, ${concurrencyPerKeyMax}::int AS concurrency_per_key_max,
        ${perS(rate)}::float8 AS rate_per_s, ${rate?.burst ?? null}::float8 AS burst,
        ${perS(ratePerKey)}::float8 AS key_rate_per_s, ${ratePerKey?.burst ?? null}::float8 AS key_burst
    )
    INSERT INTO limited_type AS known (namespace, type, keyed, concurrency_max, concurrency_per_key_max, rate_per_s, burst,
      key_rate_per_s, key_burst, adopt_time)
    SELECT written.*, CASE WHEN num_nonnulls(concurrency_max, concurrency_per_key_max) > 0 THEN now() END FROM written
    -- A type that never had limits needs no row to have none.
    WHERE ${isLimited}::boolean OR EXISTS (SELECT FROM limited_type WHERE namespace = ${namespace} AND type = ${type})
    ON CONFLICT (namespace, type) DO UPDATE SET keyed = known.keyed OR excluded.keyed,
      concurrency_max = excluded.concurrency_max, concurrency_per_key_max = excluded.concurrency_per_key_max,
      rate_per_s = excluded.rate_per_s, burst = excluded.burst,
      key_rate_per_s = excluded.key_rate_per_s, key_burst = excluded.key_burst,
      tokens = CASE WHEN excluded.rate_per_s IS NOT NULL THEN known.tokens END,
      refill_time = CASE WHEN excluded.rate_per_s IS NOT NULL THEN known.refill_time END,
      adopt_time = CASE
        WHEN num_nonnulls(known.concurrency_max, known.concurrency_per_key_max) > 0 THEN known.adopt_time
        ELSE excluded.adopt_time END`;
  await sql`
    DELETE FROM limited_type WHERE namespace = ${namespace} AND type = ${type} AND NOT keyed
      AND num_nonnulls(concurrency_max, concurrency_per_key_max, rate_per_s, key_rate_per_s) = 0`;
}

const unlimited: Omit<TypeLimits, 'queueMax'> = {
  key: null,
  concurrencyMax: null,
  concurrencyPerKeyMax: null,
  rate: null,
  ratePerKey: null,
};

function perS(rate: Rate | null): number | null {
  return rate === null ? null : (rate.tasks * 1_000) / rate.intervalMs;
}

/**
 * Has the leases of types count that were given before the types had a limit on concurrency. A claim that knew of no
 * limit may have been under way then, so this is done until all such claims must have ended. Runs through all that is
 * RUNNING, by index `task_running`.
 */
export async function adoptRunningTasks(sql: Sql, types: readonly TypeName[]): Promise<void> {
  await sql`
    WITH running AS (
      SELECT id FROM task JOIN unnest((SELECT ${types.map((t) => t.namespace)}::text[]), ${types.map((t) => t.type)}::text[])
        AS adopting(namespace, type) USING (namespace, type)
      WHERE state = 'RUNNING' AND NOT counted
      FOR UPDATE OF task SKIP LOCKED
    )
    UPDATE task SET counted = true FROM running WHERE task.id = running.id`;
  await sql`
    UPDATE limited_type SET adopt_time = NULL
    FROM unnest((SELECT ${types.map((t) => t.namespace)}::text[]), ${types.map((t) => t.type)}::text[]) AS adopting(namespace, type)
    WHERE limited_type.namespace = adopting.namespace AND limited_type.type = adopting.type
      AND adopt_time < now() - interval '30 seconds'
      AND NOT EXISTS (
        SELECT FROM task WHERE task.namespace = adopting.namespace AND task.type = adopting.type
          AND state = 'RUNNING' AND NOT counted
      )`;
}

/** Takes tokens out of the buckets of types, whose rows are locked in this transaction. */
export async function spendTokens(sql: Sql, spent: readonly (TypeName & { readonly tasks: number })[]): Promise<void> {
  await sql`
    UPDATE limited_type AS l SET refill_time = GREATEST(refill_time, now()),
      tokens = LEAST(burst, COALESCE(tokens, burst)
        + GREATEST(0, COALESCE(extract(epoch FROM now() - refill_time)::float8, 0)) * rate_per_s) - item.tasks
    FROM unnest(
      (SELECT ${spent.map((s) => s.namespace)}::text[]), ${spent.map((s) => s.type)}::text[], ${spent.map((s) => s.tasks)}::int[]
    ) AS item(namespace, type, tasks)
    WHERE l.namespace = item.namespace AND l.type = item.type AND rate_per_s IS NOT NULL`;
}

/** The same for buckets of keys; the rows of their types are locked. */
export async function spendKeyTokens(
  sql: Sql,
  spent: readonly (TypeName & { readonly limitKey: string; readonly tasks: number })[],
): Promise<void> {
  await sql`
    INSERT INTO key_bucket AS b (namespace, type, limit_key, tokens, refill_time, full_time)
    SELECT l.namespace, l.type, item.limit_key, left_over.tokens, GREATEST(known.refill_time, now()),
      GREATEST(known.refill_time, now()) + (key_burst - left_over.tokens) / key_rate_per_s * interval '1 second'
    FROM unnest(
      (SELECT ${spent.map((s) => s.namespace)}::text[]), ${spent.map((s) => s.type)}::text[],
      ${spent.map((s) => s.limitKey)}::text[], ${spent.map((s) => s.tasks)}::int[]
    ) AS item(namespace, type, limit_key, tasks)
    JOIN limited_type AS l ON l.namespace = item.namespace AND l.type = item.type AND key_rate_per_s IS NOT NULL
    LEFT JOIN key_bucket AS known
      ON known.namespace = item.namespace AND known.type = item.type AND known.limit_key = item.limit_key
    CROSS JOIN LATERAL (
      SELECT LEAST(key_burst, COALESCE(known.tokens, key_burst)
        + GREATEST(0, COALESCE(extract(epoch FROM now() - known.refill_time)::float8, 0)) * key_rate_per_s) - item.tasks AS tokens
    ) AS left_over
    ON CONFLICT (namespace, type, limit_key) DO UPDATE SET tokens = excluded.tokens, refill_time = excluded.refill_time,
      full_time = excluded.full_time`;
}

/** Deletes buckets that are full again, by index `key_bucket_full`; a bucket that is not there is full. Answers with the number. */
export async function deleteFullKeyBuckets(sql: Sql, bucketsMax: number): Promise<number> {
  const rows = await sql`
    WITH full_again AS (
      SELECT namespace, type, limit_key FROM key_bucket WHERE full_time <= now()
      ORDER BY full_time LIMIT ${bucketsMax} FOR UPDATE SKIP LOCKED
    )
    DELETE FROM key_bucket AS b USING full_again AS f
    WHERE b.namespace = f.namespace AND b.type = f.type AND b.limit_key = f.limit_key`;
  return rows.count;
}
