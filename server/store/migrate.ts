import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { drizzle, migrate as runMigrations } from './drizzle.ts';
import { ensureEventPartitions } from './event-partitions.ts';
import { rebaseStreamOrders } from './rebase-stream.ts';

/** Any number that nobody else uses; the same on every node. */
const migrationLock = 4_207_420;

export interface Migrated {
  /** Events whose order came from another server's clock; see `rebaseStreamOrders`. */
  readonly rebasedEvents: number;
}

/**
 * Brings the schema up to date. Nodes that start together wait for each other: Drizzle's migrator takes no lock, so an
 * advisory one is held on the same connection.
 */
export async function migrate(url: string): Promise<Migrated> {
  const client = postgres(url, { max: 1, onnotice: () => undefined, connection: { application_name: 'dstc-migrate' } });
  try {
    await client`SELECT pg_advisory_lock(${migrationLock})`;
    await runMigrations(drizzle(client), {
      migrationsFolder: fileURLToPath(new URL('./migrations', import.meta.url)),
      migrationsSchema: 'public',
      migrationsTable: 'schema_migration',
    });
    await ensureEventPartitions(client);
    return { rebasedEvents: await client.begin(rebaseStreamOrders) };
  } finally {
    await client.end();
  }
}
