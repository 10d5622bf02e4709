import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import postgres from 'postgres';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../server/embedded/postgres.ts';
import { freePort } from '../setup/free-port.ts';

export const postgresName = 'Postgres';

/** A real Postgres, with fsync on, that can be stopped as a crash would. */
export interface StormPostgres {
  readonly port: number;
  readonly url: string;
  /** Of all its lives. */
  readonly logFile: string;
  /** Nothing is written out, and recovery is left to the next start. */
  readonly crash: () => Promise<void>;
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export async function startStormPostgres(directory: string): Promise<StormPostgres> {
  const port = await freePort();
  const dataDir = join(directory, 'postgres');
  const options = { dataDir, port, log: () => undefined, fsync: true };
  let server: EmbeddedPostgres | undefined = await startEmbeddedPostgres(options);
  const { url } = server;
  const sql = postgres(url, { max: 1 });
  const [row] = await sql<{ directory: string }[]>`SELECT current_setting('data_directory') AS directory`;
  await sql.end();
  const pidFile = join(row?.directory ?? '', 'postmaster.pid');

  async function stop(): Promise<void> {
    await server?.stop();
    server = undefined;
  }
  return {
    port,
    url,
    logFile: join(dataDir, 'postgres.log'),
    async crash() {
      const [pid] = (await readFile(pidFile, 'utf8')).split('\n');
      process.kill(Number(pid), 'SIGQUIT');
      await server?.ended;
      await stop();
    },
    async start() {
      server ??= await startEmbeddedPostgres(options);
    },
    stop,
  };
}
