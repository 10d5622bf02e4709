import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';

let testDatabase: TestDatabase;
let database: Database;
/** Another connection, which sees only what is committed. */
let other: postgres.Sql;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  // One connection, so that each test finds it as the one before has left it.
  database = openDatabase({ url: testDatabase.url, connections: 1, applicationName: 'short-transaction' });
  other = postgres(testDatabase.url, { max: 1, onnotice: () => undefined });
  await other`CREATE TABLE note (id uuid PRIMARY KEY)`;
});

afterAll(async () => {
  await other.end();
  await database.close();
  await testDatabase.drop();
});

const write = (sql: Parameters<Parameters<Database['run']>[0]>[0], id: string) => sql`INSERT INTO note VALUES (${id})`;
const isThere = async (id: string) => (await other`SELECT FROM note WHERE id = ${id}`).length === 1;

test('what the last statement wrote is committed when it is answered', async () => {
  const [before, id] = [randomUUID(), randomUUID()];
  // Twice, because a statement that is prepared already takes another way through the driver.
  for (const each of [before, id]) {
    const seen = await database.shortTransaction(async (sql, { first, last }) => {
      const [row] = await first(() => sql<{ xid: string }[]>`SELECT pg_current_xact_id()::text AS xid`);
      const [written] = await last(
        () => sql<{ xid: string }[]>`
        INSERT INTO note VALUES (${each}) RETURNING pg_current_xact_id()::text AS xid`,
      );
      expect(await isThere(each)).toBe(true);
      return [row?.xid, written?.xid];
    });
    expect(seen[0]).toBe(seen[1]);
  }
});

test('without a last statement everything is committed at the end', async () => {
  const id = randomUUID();
  await database.shortTransaction(async (sql, { first }) => {
    await first(() => sql`SELECT 1`);
    await write(sql, id);
    expect(await isThere(id)).toBe(false);
  });
  expect(await isThere(id)).toBe(true);
});

test('a last statement that fails takes everything before it along, and the connection is as good as before', async () => {
  const id = randomUUID();
  const failed = database.shortTransaction(async (sql, { first, last }) => {
    await first(() => sql`SELECT 1`);
    await write(sql, id);
    await last(() => write(sql, id));
  });
  await expect(failed).rejects.toMatchObject({ code: '23505' });
  expect(await isThere(id)).toBe(false);
  await database.run((sql) => write(sql, id));
  expect(await isThere(id)).toBe(true);
});

test('whatever throws before the last statement rolls back', async () => {
  const id = randomUUID();
  const failed = database.shortTransaction(async (sql, { first }) => {
    await first(() => sql`SELECT 1`);
    await write(sql, id);
    throw new Error('changed my mind');
  });
  await expect(failed).rejects.toThrow('changed my mind');
  expect(await isThere(id)).toBe(false);
});

test('a transaction that cannot begin does not go on', async () => {
  // BEGIN fails in a transaction that has failed.
  await expect(database.run((sql) => sql`BEGIN`.then(() => sql`SELECT 1/0`))).rejects.toMatchObject({ code: '22012' });
  let wentOn = false;
  const failed = database.shortTransaction(async (sql, { first }) => {
    await first(() => sql`SELECT 1`);
    wentOn = true;
  });
  await expect(failed).rejects.toMatchObject({ code: '25P02' });
  expect(wentOn).toBe(false);
  const id = randomUUID();
  await database.shortTransaction(async (sql, { first, last }) => {
    await first(() => sql`SELECT 1`);
    await last(() => write(sql, id));
  });
  expect(await isThere(id)).toBe(true);
});
