import type { Sql } from './database.ts';

/** Who keeps dead rows alive for longest. */
export interface OldestSnapshot {
  readonly ageMs: number;
  readonly applicationName: string;
  /** Of its backend; null for a prepared transaction, which has none. */
  readonly pid: number | null;
}

/**
 * The transaction of this database that has seen the oldest snapshot, or holds one prepared; undefined when there is
 * none. Of other users only those are seen that the role `pg_read_all_stats` shows. A look into shared memory, not into
 * tables.
 */
export async function selectOldestSnapshot(sql: Sql): Promise<OldestSnapshot | undefined> {
  const rows = await sql<{ age_ms: number; application_name: string; pid: number | null }[]>`
    SELECT extract(epoch FROM now() - since)::float8 * 1000 AS age_ms, application_name, pid FROM (
      SELECT xact_start AS since, application_name, pid FROM pg_stat_activity
      WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
      UNION ALL
      SELECT prepared, 'prepared transaction ' || gid, NULL FROM pg_prepared_xacts WHERE database = current_database()
    ) AS held
    WHERE since IS NOT NULL ORDER BY since LIMIT 1`;
  const [row] = rows;
  return row && { ageMs: row.age_ms, applicationName: row.application_name, pid: row.pid };
}
