import { randomBytes } from 'node:crypto';
import postgres from 'postgres';
import { inject } from 'vitest';
import { databaseUrl } from './database-url.ts';

export interface TestDatabase {
  readonly url: string;
  /** Fails when the test left a connection open. */
  drop(): Promise<void>;
}

/** A migrated, empty database of the test's own, in tens of milliseconds. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const name = `dstc_test_${randomBytes(6).toString('hex')}`;
  await administer(async (sql) => {
    await sql`CREATE DATABASE ${sql(name)} TEMPLATE ${sql(inject('templateDatabase'))} STRATEGY file_copy`;
  });
  return { url: databaseUrl(inject('databaseServerUrl'), name), drop: () => administer((sql) => drop(sql, name)) };
}

async function drop(sql: postgres.Sql, name: string): Promise<void> {
  try {
    // Postgres gives closing connections five seconds.
    await sql`DROP DATABASE ${sql(name)}`;
  } catch (cause) {
    const left = await sql`SELECT application_name, query FROM pg_stat_activity WHERE datname = ${name}`;
    await sql`DROP DATABASE IF EXISTS ${sql(name)} WITH (FORCE)`;
    throw new Error(`connections to the test's database are still open: ${JSON.stringify(left)}`, { cause });
  }
}

async function administer(work: (sql: postgres.Sql) => Promise<void>): Promise<void> {
  const sql = postgres(inject('databaseServerUrl'), { max: 1, onnotice: () => undefined });
  try {
    await work(sql);
  } finally {
    await sql.end();
  }
}
