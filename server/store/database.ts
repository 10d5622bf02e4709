import { limits } from '../domain/limits.ts';
import { openConnection } from './connection.ts';
import { drizzle, type PostgresJsDatabase } from './drizzle.ts';
import { type DatabaseOptions, openCalls, type Sql, type SqlDatabase } from './sql-database.ts';
import { type Ends, inShortTransaction, inTransaction } from './transaction.ts';

export type { Sql } from './sql-database.ts';

/** Postgres as the whole of a node uses it. */
export interface Database extends SqlDatabase {
  /** Runs several statements as one transaction. */
  readonly transaction: <Result>(call: (sql: Sql, orm: PostgresJsDatabase) => Promise<Result>) => Promise<Result>;
  /** The same with two round trips less; see `Ends`. */
  readonly shortTransaction: <Result>(call: (sql: Sql, ends: Ends) => Promise<Result>) => Promise<Result>;
  /** Runs one ordinary query. */
  readonly query: <Result>(call: (orm: PostgresJsDatabase) => Promise<Result>) => Promise<Result>;
}

/** Opens a pool; connections are made when they are needed. */
export function openDatabase(options: DatabaseOptions): Database {
  const { databaseQueueMax: queueMax, databaseReadQueueMax: readQueueMax, statementMsMax } = limits;
  const { call, close } = openCalls(options.connections, () => {
    const connection = openConnection({ ...options, statementMsMax });
    return { ...connection, orm: drizzle(connection.sql) };
  });
  return {
    run: (statement, limit) => call(queueMax, ({ sql }) => statement(sql), limit),
    transaction: (statements) => call(queueMax, (connection) => inTransaction(connection, statements)),
    shortTransaction: (statements) => call(queueMax, ({ sql }) => inShortTransaction(sql, statements)),
    // What callers read gives way first, so that a flood of readers stops no lease and no report.
    query: (query) => call(readQueueMax, ({ orm }) => query(orm)),
    close,
  };
}
