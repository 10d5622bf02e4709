import postgres from 'postgres';
import { expect, test } from 'vitest';
import { createTestDatabase } from './database.ts';

test('gives each test a migrated database of its own', async () => {
  const [one, other] = await Promise.all([createTestDatabase(), createTestDatabase()]);
  try {
    expect(one.url).not.toBe(other.url);
    const sql = postgres(one.url, { max: 1 });
    const tables = await sql`SELECT relname FROM pg_class WHERE relname = 'task'`;
    await sql.end();
    expect(tables).toHaveLength(1);
  } finally {
    await Promise.all([one.drop(), other.drop()]);
  }
});

test('fails a test that leaves a connection open', async () => {
  const database = await createTestDatabase();
  const sql = postgres(database.url, { max: 1, connection: { application_name: 'forgotten' } });
  await sql`SELECT 1`;
  await expect(database.drop()).rejects.toThrow('forgotten');
  await sql.end();
}, 20_000);
