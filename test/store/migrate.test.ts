import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import postgres from 'postgres';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { migrate } from '../../server/store/migrate.ts';
import { databaseUrl } from '../setup/database-url.ts';
import { freePort } from '../setup/free-port.ts';

const server = inject('databaseServerUrl');
const name = `dstc_test_${randomBytes(6).toString('hex')}`;
let sql: postgres.Sql;

beforeEach(async () => {
  sql = postgres(server, { max: 1, onnotice: () => undefined });
  await sql`CREATE DATABASE ${sql(name)}`;
});
afterEach(async () => {
  await sql`DROP DATABASE ${sql(name)} WITH (FORCE)`;
  await sql.end();
});

/** A way to Postgres whose first connection is reset when Postgres has answered this many times. */
async function wayWith(
  answersMax: number,
): Promise<{ url: string; wasReset: () => boolean; close: () => Promise<void> }> {
  const direct = new URL(databaseUrl(server, name));
  let wasReset = false;
  const way = createServer((near: Socket) => {
    const far = connect(Number(direct.port), direct.hostname);
    let answers = 0;
    near.pipe(far);
    far.on('data', (bytes) => {
      answers += 1;
      if (answers < answersMax || wasReset) return near.write(bytes);
      wasReset = true;
      far.destroy();
      return near.resetAndDestroy();
    });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('error', () => undefined);
      one.on('close', () => other.destroy());
    }
  }).listen(0, '127.0.0.1');
  await once(way, 'listening');
  const url = new URL(direct);
  url.port = String((way.address() as { port: number }).port);
  return {
    url: url.href,
    wasReset: () => wasReset,
    async close() {
      way.close();
      await once(way, 'close');
    },
  };
}

test('whatever answer does not arrive, a migration says so, and the next one brings the schema up to date', async () => {
  let resets = 0;
  for (let answersMax = 1; resets === answersMax - 1; answersMax += 1) {
    const way = await wayWith(answersMax);
    const [outcome] = await Promise.allSettled([migrate(way.url)]);
    if (way.wasReset()) {
      resets += 1;
      expect(outcome).toMatchObject({ status: 'rejected', reason: { reason: 'DATABASE_UNAVAILABLE' } });
    } else {
      expect(outcome).toMatchObject({ status: 'fulfilled' });
    }
    await way.close();
  }
  expect(resets).toBeGreaterThan(5);
});

test('a migration without a Postgres says so at once', async () => {
  const url = new URL(databaseUrl(server, name));
  url.port = String(await freePort());
  await expect(migrate(url.href)).rejects.toMatchObject({
    reason: 'DATABASE_UNAVAILABLE',
    cause: { message: expect.stringContaining('ECONNREFUSED') },
  });
});
