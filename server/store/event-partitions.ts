import type { Sql } from './database.ts';

/** Days of history that have a partition ahead of time; a coordinator that runs looks after it every hour. */
const daysAhead = 7;

/** Any number that nobody else uses; one node at a time looks after the partitions. */
const partitionLock = 4_207_421;

/**
 * Attaches a partition for each day to come. A table is made and then attached, because that, unlike creating it as a
 * partition, does not stop those who write history.
 */
export async function ensureEventPartitions(sql: Sql): Promise<void> {
  await sql.unsafe(`DO $$
    DECLARE day date; name text;
    BEGIN
      PERFORM pg_advisory_xact_lock(${partitionLock});
      FOR day IN SELECT ((now() AT TIME ZONE 'UTC')::date + n) FROM generate_series(0, ${daysAhead}) AS n LOOP
        name := 'task_event_' || to_char(day, 'YYYYMMDD');
        IF to_regclass(name) IS NULL THEN
          EXECUTE format('CREATE TABLE %I (LIKE task_event INCLUDING DEFAULTS)', name);
          EXECUTE format(
            'ALTER TABLE task_event ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            name, day || ' 00:00:00+00', (day + 1) || ' 00:00:00+00');
        END IF;
      END LOOP;
    END $$`);
}

/** Drops the partitions of days that ended more than `days` ago, and answers with their names. */
export async function dropOldEventPartitions(sql: Sql, days: number): Promise<string[]> {
  const old = await sql<{ name: string }[]>`
    SELECT relid::text AS name FROM pg_partition_tree('task_event')
    WHERE isleaf AND relid::text ~ '^task_event_[0-9]{8}$'
      AND to_date(right(relid::text, 8), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - ${days}::int`;
  for (const { name } of old) await sql`DROP TABLE IF EXISTS ${sql(name)}`;
  return old.map(({ name }) => name);
}
