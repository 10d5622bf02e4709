import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import postgres from 'postgres';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { DstcError } from '../../server/domain/errors.ts';
import { limits } from '../../server/domain/limits.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';
import { freePort } from '../setup/free-port.ts';

const connections = 3;
let testDatabase: TestDatabase;
let database: Database;
let port: number;
let path: Path | undefined;

beforeEach(async () => {
  testDatabase = await createTestDatabase();
  port = await freePort();
  path = undefined;
  const url = new URL(testDatabase.url);
  url.port = String(port);
  database = openDatabase({ url: url.href, connections, applicationName: 'path' });
});
afterEach(async () => {
  await database.close();
  await path?.close();
  await testDatabase.drop();
});

/** A way to the real Postgres that can be blocked without a word. */
interface Path {
  /** From now on nothing arrives in either direction, not even that a connection is closed. */
  readonly block: () => void;
  readonly unblock: () => void;
  /** Resets every connection. */
  readonly reset: () => void;
  readonly close: () => Promise<void>;
}

async function openPath(): Promise<Path> {
  const target = new URL(testDatabase.url);
  const sockets = new Set<Socket>();
  let isBlocked = false;
  const server: Server = createServer((near) => {
    const far = connect(Number(target.port), target.hostname);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('data', (bytes) => {
        if (!isBlocked) other.write(bytes);
      });
      socket.on('error', () => undefined);
      // Of what is blocked Postgres hears nothing at all, as when a machine has lost its power.
      socket.on('close', () => isBlocked || other.destroy());
    }
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    block: () => {
      isBlocked = true;
    },
    unblock: () => {
      isBlocked = false;
    },
    reset: () => {
      for (const socket of sockets) socket.resetAndDestroy();
      sockets.clear();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function ask(): Promise<unknown> {
  return database.run((sql) => sql`SELECT 1 AS one`);
}

async function reasonsOf(calls: readonly Promise<unknown>[]): Promise<Set<unknown>> {
  const results = await Promise.allSettled(calls);
  return new Set(
    results.map((result) => (result.status === 'rejected' ? (result.reason as DstcError).reason : 'answered')),
  );
}

test('many failed connects cost no connection: once Postgres is there, it is used', async () => {
  for (let turn = 0; turn < 3 * connections; turn += 1) {
    expect(await reasonsOf([ask()])).toEqual(new Set(['DATABASE_UNAVAILABLE']));
  }
  path = await openPath();
  await expect.poll(() => reasonsOf([ask()]), { timeout: 2_000 }).toEqual(new Set(['answered']));
  expect(await reasonsOf(Array.from({ length: 50 }, ask))).toEqual(new Set(['answered']));
});

test('while Postgres is away nobody waits in line to be told so', async () => {
  await reasonsOf([ask()]);
  const startedMs = performance.now();
  expect(await reasonsOf(Array.from({ length: 500 }, ask))).toEqual(new Set(['DATABASE_UNAVAILABLE']));
  expect(performance.now() - startedMs).toBeLessThan(1_000);
});

test('a path that swallows everything fails its calls within the deadline, and the pool recovers', async () => {
  path = await openPath();
  await Promise.all(Array.from({ length: connections }, ask));
  path.block();
  const startedMs = performance.now();
  expect(await reasonsOf(Array.from({ length: connections }, ask))).toEqual(new Set(['DATABASE_UNAVAILABLE']));
  expect(performance.now() - startedMs).toBeLessThan(limits.statementMsMax + 2_000);
  path.unblock();
  await expect.poll(() => reasonsOf([ask()]), { timeout: 3_000 }).toEqual(new Set(['answered']));
}, 20_000);

test('a node that falls silent in a transaction keeps its rows from nobody for long', async () => {
  path = await openPath();
  const { promise: isBlocked, resolve: block } = Promise.withResolvers<void>();
  const silent = reasonsOf([
    database.transaction(async (sql) => {
      await sql`SELECT pg_advisory_xact_lock(1)`;
      path?.block();
      block();
      await sql`SELECT 1`;
    }),
  ]);
  await isBlocked;
  const other = postgres(testDatabase.url, { max: 1 });
  try {
    const waitedFromMs = performance.now();
    await other`SELECT pg_advisory_lock(1)`;
    expect(performance.now() - waitedFromMs).toBeLessThan(limits.statementMsMax + 2_000);
  } finally {
    await other.end();
  }
  expect(await silent).toEqual(new Set(['DATABASE_UNAVAILABLE']));
}, 20_000);

test('a call right behind a connection that is reset is not lost, and every answer is that of its own question', async () => {
  path = await openPath();
  const wrong: unknown[] = [];
  let answered = 0;
  const question = async (n: number) => {
    const [row] = await database.run((sql) => sql<{ n: number }[]>`SELECT ${n}::int AS n`);
    answered += 1;
    if (row?.n !== n) wrong.push([n, row]);
  };
  const transaction = (n: number) =>
    database.transaction(async (sql) => {
      const [row] = await sql<{ n: number }[]>`SELECT ${n}::int AS n, pg_sleep(0.01)`;
      if (row?.n !== n) wrong.push([n, row]);
    });
  for (let turn = 0; turn < 20; turn += 1) {
    const calls = Array.from({ length: 12 }, (_, n) =>
      // Each asks again at once when it fails, which is when the connection is not quite closed yet.
      (n % 2 === 0 ? question(n) : transaction(n)).catch(() => question(100 + n).catch(() => question(200 + n))),
    );
    // The first answer is there, and the other connections are in the middle of theirs.
    await Promise.race(calls);
    path.reset();
    await Promise.allSettled(calls);
  }
  // The pool is as large as ever.
  await expect.poll(() => reasonsOf([ask()]), { timeout: 2_000 }).toEqual(new Set(['answered']));
  let together = 0;
  const all = Promise.withResolvers<void>();
  const meet = () =>
    database.transaction(async (sql) => {
      await sql`SELECT 1`;
      together += 1;
      if (together === connections) all.resolve();
      await all.promise;
    });
  await Promise.all(Array.from({ length: connections }, meet));
  expect(wrong).toEqual([]);
  expect(answered).toBeGreaterThan(0);
}, 20_000);
