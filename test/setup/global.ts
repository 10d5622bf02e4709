import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import postgres from 'postgres';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '../../server/embedded/postgres.ts';
import { migrate } from '../../server/store/migrate.ts';
import { databaseUrl } from './database-url.ts';
import { freePort } from './free-port.ts';
import { deleteForgottenDirectories, temporaryDirectory } from './temporary-directory.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Of the server's maintenance database; tests use `createTestDatabase`. */
    databaseServerUrl: string;
    templateDatabase: string;
  }
}

/**
 * One Postgres for the whole run, and in it one migrated database that tests clone. `TEST_DATABASE_URL` names a server to
 * use instead; its user must be allowed to create databases.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startServer(process.env.TEST_DATABASE_URL);
  const template = `dstc_template_${process.pid}`;
  const sql = postgres(server.url, { max: 1, onnotice: () => undefined });
  try {
    await sql`CREATE DATABASE ${sql(template)}`;
    await migrate(databaseUrl(server.url, template));
    // A connection to the template would keep tests from cloning it.
    await sql`ALTER DATABASE ${sql(template)} ALLOW_CONNECTIONS false`;
  } catch (error) {
    await sql.end();
    await server.stop();
    throw error;
  }
  project.provide('databaseServerUrl', server.url);
  project.provide('templateDatabase', template);
  return async () => {
    await sql`DROP DATABASE ${sql(template)}`;
    await sql.end();
    await server.stop();
  };
}

async function startServer(given: string | undefined): Promise<{ url: string; stop(): Promise<void> }> {
  if (given !== undefined && given !== '') return { url: given, stop: async () => undefined };
  await deleteForgottenDirectories();
  const directory = await temporaryDirectory();
  const dataDir = join(directory, 'postgres');
  const server = await startEmbeddedPostgres({ dataDir, port: await freePort(), log: () => undefined, fsync: false });
  return {
    url: server.url,
    async stop() {
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
