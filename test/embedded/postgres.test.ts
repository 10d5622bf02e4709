import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { accountFor } from '../../server/embedded/account.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../server/embedded/postgres.ts';
import { postgresPrograms } from '../../server/embedded/postgres-programs.ts';
import { freePort } from '../setup/free-port.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';

let directory: string;
let dataDir: string;
let port: number;
let started: EmbeddedPostgres[];
let children: ChildProcess[];

beforeEach(async () => {
  directory = await temporaryDirectory();
  dataDir = join(directory, 'postgres');
  port = await freePort();
  started = [];
  children = [];
});

afterEach(async () => {
  for (const server of started) await server.stop();
  for (const child of children) child.kill('SIGKILL');
  await rm(directory, { recursive: true, force: true });
});

async function start(): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir, port, log: () => undefined, fsync: false });
  started.push(server);
  return server;
}

async function query(url: string, statement: string) {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    return await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}

function child(process: ChildProcess): ChildProcess {
  children.push(process);
  return process;
}

test('keeps its data over a restart', async () => {
  const first = await start();
  await query(first.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
  await first.stop();
  const second = await start();
  expect(second.url).toBe(first.url);
  expect(await query(second.url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
});

test('asks for a password that only this user can read', async () => {
  const { url } = await start();
  const wrong = new URL(url);
  wrong.password = 'wrong';
  await expect(query(wrong.href, 'SELECT 1')).rejects.toThrow('password authentication failed');
  expect((await stat(join(dataDir, 'password'))).mode & 0o777).toBe(0o600);
});

test('names a taken port and the variable that chooses another', async () => {
  const other = createServer().listen(port, '127.0.0.1');
  await once(other, 'listening');
  await expect(start()).rejects.toThrow(new RegExp(`port ${port} .* is taken.*DSTC_POSTGRES_PORT`));
  other.close();
  await once(other, 'close');
  await start();
});

test('refuses a second starter on the same data and leaves the first alone', async () => {
  const { url } = await start();
  await expect(start()).rejects.toThrow('another process uses the embedded Postgres');
  expect(await query(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
});

describe('after a kill -9 of its starter', () => {
  test('ends by itself, and the next start finds the data', async () => {
    const holder = child(
      spawn(process.execPath, [fileURLToPath(new URL('./hold-postgres.ts', import.meta.url)), dataDir, String(port)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      }),
    );
    if (holder.stdout === null) throw new Error('no output to read');
    const [url] = await once(createInterface(holder.stdout), 'line');
    await query(url, 'CREATE TABLE kept (id int)');
    const session = postgres(url, { max: 1, fetch_types: false });
    await session`SELECT 1`;
    const cutOff = expect(session`SELECT pg_sleep(60)`).rejects.toThrow();
    holder.kill('SIGKILL');
    await cutOff;
    await session.end({ timeout: 1 });

    const next = await start();
    expect(await query(next.url, 'SELECT count(*)::int FROM kept')).toEqual([{ count: 0 }]);
  });

  test('is stopped by the next start when it did not', async () => {
    await (await start()).stop();
    const account = await accountFor(join(dataDir, 'cluster'));
    const { postgres: program } = await postgresPrograms(dataDir, account);
    const settings = ['-c', `port=${port}`, '-c', `unix_socket_directories=${join(dataDir, 'sockets')}`];
    const leftover = child(
      spawn(program, ['-D', join(dataDir, 'cluster'), ...settings], {
        stdio: ['ignore', 'ignore', 'pipe'],
        cwd: dataDir,
        detached: true,
        ...account,
      }),
    );
    const ended = once(leftover, 'exit');
    await untilItSays(leftover, 'ready to accept connections');
    const { url } = await start();
    await ended;
    expect(await query(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('does not mistake a process that got its id for a server', async () => {
    await (await start()).stop();
    const innocent = child(spawn('sleep', ['60']));
    await writeFile(join(dataDir, 'cluster', 'postmaster.pid'), `${innocent.pid}\n${dataDir}\n`);
    await start();
    expect(innocent.exitCode ?? innocent.signalCode).toBeNull();
  });

  test('makes a half-finished initialization anew', async () => {
    await (await start()).stop();
    await rm(join(dataDir, 'cluster.ready'));
    await rm(join(dataDir, 'cluster', 'global'), { recursive: true });
    const { url } = await start();
    expect(await query(url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });
});

test.runIf(process.getuid?.() === 0)(
  'started by root in a closed directory, keeps its data where it can be reached',
  async () => {
    await chmod(directory, 0o700);
    const first = await start();
    await query(first.url, 'CREATE TABLE kept (id int)');
    await first.stop();
    const location = (await readFile(join(dataDir, 'location'), 'utf8')).trim();
    try {
      expect(location).toMatch(/^\/var\/tmp\/dstc-/);
      const second = await start();
      expect(await query(second.url, 'SELECT count(*)::int FROM kept')).toEqual([{ count: 0 }]);
      await second.stop();

      // A new clone at the same path must not find what a deleted one left.
      await rm(dataDir, { recursive: true });
      const third = await start();
      await expect(query(third.url, 'SELECT FROM kept')).rejects.toThrow('does not exist');
      await third.stop();
    } finally {
      await rm(location, { recursive: true, force: true });
    }
  },
);

function untilItSays(process: ChildProcess, words: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stderr?.on('data', (chunk: Buffer) => {
      if (chunk.toString().includes(words)) resolve();
    });
    process.once('exit', () => reject(new Error(`it ended before it said: ${words}`)));
  });
}
