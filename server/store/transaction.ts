import { setImmediate } from 'node:timers/promises';
import type postgres from 'postgres';
import type { Connection } from './connection.ts';
import { isConnectionLost } from './database-error.ts';
import type { PostgresJsDatabase } from './drizzle.ts';

/** The connection belongs to this call alone, so that plain statements make a transaction. */
export async function inTransaction<Result>(
  { sql, orm }: Pick<Connection, 'sql'> & { readonly orm: PostgresJsDatabase },
  call: (sql: postgres.ISql, orm: PostgresJsDatabase) => Promise<Result>,
): Promise<Result> {
  await sql`BEGIN`;
  try {
    const result = await call(sql, orm);
    await sql`COMMIT`;
    return result;
  } catch (error) {
    await rollBack(sql, error);
    throw error;
  }
}

/** What the two ends of a transaction are sent with, so that they take no round trips of their own. */
export interface Ends {
  /** The first statement, behind BEGIN. If that fails it is carried out alone, so it only reads and locks. */
  readonly first: <Result>(statement: () => Promise<Result>) => Promise<Result>;
  /** The last one, before COMMIT, which rolls back when it has failed. Left out when nothing is to be written. */
  readonly last: <Result>(statement: () => Promise<Result>) => Promise<Result>;
}

export async function inShortTransaction<Result>(
  sql: postgres.ISql,
  call: (sql: postgres.ISql, ends: Ends) => Promise<Result>,
): Promise<Result> {
  let isEnded = false;
  const ends: Ends = {
    async first(statement) {
      const begun = sql`BEGIN`.execute();
      const [result] = await Promise.all([statement(), begun]);
      return result;
    },
    async last(statement) {
      isEnded = true;
      const written = statement();
      // In the next turn of the loop the driver has the statement, so that COMMIT can only come behind it.
      const committed = setImmediate().then(() => sql`COMMIT`);
      await Promise.allSettled([written, committed]);
      await committed;
      return await written;
    },
  };
  try {
    const result = await call(sql, ends);
    if (!isEnded) await sql`COMMIT`;
    return result;
  } catch (error) {
    if (!isEnded) await rollBack(sql, error);
    throw error;
  }
}

/** With its connection a transaction is gone, too. */
async function rollBack(sql: postgres.ISql, error: unknown): Promise<void> {
  if (!isConnectionLost(error)) await sql`ROLLBACK`;
}
