import type { Sql } from './database.ts';
import { isLockTimeout, violatesCheck } from './database-error.ts';

/** Days of history that have a partition ahead of time; a coordinator that runs looks after it every hour. */
const daysAhead = 7;

/** Any number that nobody else uses; one node at a time looks after the partitions. */
const partitionLock = 4_207_421;

/** Those who write or read history queue behind whoever waits for a lock on it, so nobody waits for longer. */
const lockMsMax = 100;

/** What became of partitions. */
export interface PartitionTurn {
  /** By name. */
  readonly done: readonly string[];
  /** For another turn to try again. */
  readonly left: readonly LeftPartition[];
}

export interface LeftPartition {
  readonly name: string;
  /** In the words of Postgres. */
  readonly why: string;
}

interface Change {
  readonly name: string;
  readonly statements: string;
}

/**
 * Attaches a partition for each day to come. A table is made and then attached, because that, unlike creating it as a
 * partition, does not lock the whole history. It does lock the default partition, which readers have in use who read on
 * without an end, and so does a dump.
 */
export async function ensureEventPartitions(sql: Sql): Promise<PartitionTurn> {
  const missing = await sql<{ name: string; from: string; to: string }[]>`
    SELECT name, day || ' 00:00:00+00' AS from, (day + 1) || ' 00:00:00+00' AS to
    FROM generate_series(0, ${daysAhead}::int) AS n,
      LATERAL (SELECT (now() AT TIME ZONE 'UTC')::date + n AS day) AS days,
      LATERAL (SELECT 'task_event_' || to_char(day, 'YYYYMMDD') AS name) AS names
    WHERE to_regclass(name) IS NULL ORDER BY day`;
  return changeEach(
    sql,
    missing.map(({ name, from, to }) => ({
      name,
      // Another node may have been faster.
      statements: `
        IF to_regclass('${name}') IS NULL THEN
          CREATE TABLE ${name} (LIKE task_event INCLUDING DEFAULTS);
          ALTER TABLE task_event ATTACH PARTITION ${name} FOR VALUES FROM ('${from}') TO ('${to}');
        END IF;`,
    })),
  );
}

/** Drops the partitions of days that ended more than `days` ago; each locks the whole history for a moment. */
export async function dropOldEventPartitions(sql: Sql, days: number): Promise<PartitionTurn> {
  const old = await sql<{ name: string }[]>`
    SELECT relid::text AS name FROM pg_partition_tree('task_event')
    WHERE isleaf AND relid::text ~ '^task_event_[0-9]{8}$'
      AND to_date(right(relid::text, 8), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - ${days}::int
    ORDER BY name`;
  return changeEach(
    sql,
    old.map(({ name }) => ({ name, statements: `DROP TABLE IF EXISTS ${name};` })),
  );
}

/** A transaction for each, so that no lock is held while the next one is waited for. */
async function changeEach(sql: Sql, changes: readonly Change[]): Promise<PartitionTurn> {
  const done: string[] = [];
  const left: LeftPartition[] = [];
  for (const { name, statements } of changes) {
    try {
      // The other node is waited for without the limit: what it waits for has one.
      await sql.unsafe(`DO $$ BEGIN
        PERFORM pg_advisory_xact_lock(${partitionLock});
        PERFORM set_config('lock_timeout', '${lockMsMax}ms', true);
        ${statements}
      END $$`);
      done.push(name);
    } catch (error) {
      // Besides the lock: a day that has events in the default partition gets none of its own any more.
      if (!(error instanceof Error) || !(isLockTimeout(error) || violatesCheck(error))) throw error;
      left.push({ name, why: error.message });
    }
  }
  return { done, left };
}
