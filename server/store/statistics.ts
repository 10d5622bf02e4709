import type { Sql } from './database.ts';

/**
 * Names the tables that are many times as large as Postgres takes them to be.
 *
 * A plan that was made for a handful of rows reads the whole table, and is kept when a burst fills it: until autovacuum
 * comes by, which is once a minute, each report would read all tasks. Of tables that are known to have a thousand pages
 * rows are always looked up by their keys.
 */
export function outgrownTables(sql: Sql) {
  return sql<{ name: string }[]>`
    SELECT relname AS name FROM pg_class
    WHERE oid IN ('task'::regclass, 'task_dependency'::regclass, 'idempotency_key'::regclass, 'key_bucket'::regclass,
      'webhook_delivery'::regclass)
      AND relpages < 1000
      AND pg_relation_size(oid) > 4 * GREATEST(relpages, 10) * current_setting('block_size')::int`;
}

/**
 * Has Postgres look at those tables, whereupon all nodes get new plans. Left out is what somebody else, autovacuum above
 * all, is at, and what belongs to another user.
 */
export async function analyzeOutgrownTables(sql: Sql): Promise<void> {
  const tables = await outgrownTables(sql);
  if (tables.length > 0) await sql`ANALYZE (SKIP_LOCKED) ${sql(tables.map(({ name }) => name))}`;
}
