import { mkdir, rename, stat } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import postgres from 'postgres';
import { accountFor } from './account.ts';
import { checkPortIsFree } from './port.ts';
import { ensureCluster, superuser } from './postgres-cluster.ts';
import { choosePlace } from './postgres-place.ts';
import { postgresPrograms } from './postgres-programs.ts';
import { startPostmaster, stopLeftover } from './postmaster.ts';
import { holdStarterLock } from './starter-lock.ts';

export interface EmbeddedPostgresOptions {
  /** Made when it is not there. Holds the password, the log, and the data unless Postgres cannot reach it. */
  readonly dataDir: string;
  /** On 127.0.0.1. */
  readonly port: number;
  readonly log: (message: string) => void;
  /** False gives up safety against a crash of the machine, not of Postgres: for tests. Default true. */
  readonly fsync?: boolean;
}

export interface EmbeddedPostgres {
  /** Of the database `dstc`, with the password in it: not for logs. */
  readonly url: string;
  /** Resolves when the server has ended, asked to or not. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

const database = 'dstc';
const logBytesMax = 16 * 1024 * 1024;

/**
 * Starts the Postgres that came with npm, and initializes it on first use. Whatever an earlier start left behind is
 * recovered: a running server, half an initialization, a stale pid file.
 *
 * @throws StartError with what to do about it
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { port, log, fsync = true } = options;
  const dataDir = resolve(options.dataDir);
  await mkdir(dataDir, { recursive: true });
  const account = await accountFor(join(dataDir, 'cluster'));
  const place = await choosePlace(dataDir, account);
  const lock = await holdStarterLock(
    join(place.sockets, 'starter'),
    `another process uses the embedded Postgres in ${dataDir}; stop that one first, or set DATABASE_URL`,
  );
  try {
    const programs = await postgresPrograms(place.directory, account);
    const logFile = join(dataDir, 'postgres.log');
    await setLogAside(logFile);
    const deps = { place, programs, account, logFile };
    await stopLeftover(deps);
    const password = await ensureCluster({ ...deps, fsync }, join(dataDir, 'password'));
    await checkPortIsFree({
      host: '127.0.0.1',
      port,
      user: 'the embedded Postgres',
      variable: 'DSTC_POSTGRES_PORT',
    });
    const postmaster = await startPostmaster(deps, settings({ port, fsync, sockets: place.sockets }));
    try {
      const url = (name: string) => `postgres://${superuser}:${password}@127.0.0.1:${port}/${name}`;
      await ensureDatabase(url('postgres'));
      log(`Postgres listens on 127.0.0.1:${port}, its data is in ${place.cluster}`);
      return {
        url: url(database),
        ended: postmaster.ended,
        async stop() {
          await postmaster.stop();
          await lock.release();
        },
      };
    } catch (error) {
      await postmaster.stop();
      throw error;
    }
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** For a laptop: enough memory to be quick, not so much that anyone notices. */
function settings({ port, fsync, sockets }: { port: number; fsync: boolean; sockets: string }): readonly string[] {
  const roomy = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY) > 2 * 1024 ** 3;
  const values = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: sockets,
    max_connections: 100,
    shared_buffers: roomy ? '256MB' : '64MB',
    fsync: fsync ? 'on' : 'off',
    wal_compression: 'on',
    max_wal_size: '2GB',
    // Every statement of ours is short; compiling one costs more than it gains.
    jit: 'off',
    logging_collector: 'off',
    log_line_prefix: '%m [%p] ',
  };
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

async function ensureDatabase(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    const found = await sql`SELECT FROM pg_database WHERE datname = ${database}`;
    if (found.length === 0) await sql`CREATE DATABASE ${sql(database)}`;
  } finally {
    await sql.end();
  }
}

/** One log of the past is kept; the server appends to the other for as long as it runs. */
async function setLogAside(logFile: string): Promise<void> {
  const found = await stat(logFile).catch(() => undefined);
  if (found !== undefined && found.size > logBytesMax) await rename(logFile, `${logFile}.1`);
}
