import { fileURLToPath } from 'node:url';
import type postgres from 'postgres';
import { openConnection } from './connection.ts';
import { databaseError } from './database-error.ts';
import { drizzle, migrate as runMigrations } from './drizzle.ts';
import { ensureEventPartitions, type LeftPartition } from './event-partitions.ts';
import { rebaseStreamOrders } from './rebase-stream.ts';
import { inTransaction } from './transaction.ts';

/** Any number that nobody else uses; the same on every node. */
const migrationLock = 4_207_420;

export interface Migrated {
  /** Events whose order came from another server's clock; see `rebaseStreamOrders`. */
  readonly rebasedEvents: number;
  /** Days of history without a partition: until a node has made it, their events go to the default one. */
  readonly partitionsLeft: readonly LeftPartition[];
}

/**
 * Brings the schema up to date. Nodes that start together wait for each other: Drizzle's migrator takes no lock, so an
 * advisory one is held on the same connection. Rejects with `DATABASE_UNAVAILABLE` when Postgres cannot be reached, or is
 * lost on the way; what was begun is undone then, and the next call begins anew.
 */
export async function migrate(url: string): Promise<Migrated> {
  const { sql, lost, end } = openConnection({ url, applicationName: 'dstc-migrate', statementMsMax: null });
  try {
    return await Promise.race([bringUpToDate(sql), lost.then((reason) => Promise.reject(reason))]);
  } catch (error) {
    throw databaseError(error);
  } finally {
    await end();
  }
}

async function bringUpToDate(sql: postgres.Sql): Promise<Migrated> {
  await sql`SELECT pg_advisory_lock(${migrationLock})`;
  const orm = drizzle(sql);
  await runMigrations(orm, {
    migrationsFolder: fileURLToPath(new URL('./migrations', import.meta.url)),
    migrationsSchema: 'public',
    migrationsTable: 'schema_migration',
  });
  const { left: partitionsLeft } = await ensureEventPartitions(sql);
  return { rebasedEvents: await inTransaction({ sql, orm }, rebaseStreamOrders), partitionsLeft };
}
