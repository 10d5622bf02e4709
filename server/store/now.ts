import type { Sql } from './database.ts';

/** The time of the database, in milliseconds. */
export async function selectNowMs(sql: Sql): Promise<number> {
  const [row] = await sql<{ ms: number }[]>`SELECT extract(epoch FROM now())::float8 * 1000 AS ms`;
  if (row === undefined) throw new Error('a select without a condition answered with no row');
  return row.ms;
}
