import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import type postgres from 'postgres';
import { DstcError } from '../domain/errors.ts';
import { limits } from '../domain/limits.ts';
import { openConnection } from './connection.ts';
import { createConnectionPool } from './connection-pool.ts';
import { databaseError, databaseUnavailable, isConnectFailure } from './database-error.ts';
import { type Ends, inShortTransaction, inTransaction } from './transaction.ts';

/** What a statement runs on: a connection, perhaps in a transaction. */
export type Sql = postgres.ISql;

/** Postgres, with a deadline on every call and a bounded queue before it. */
export interface Database {
  /** Runs one call; errors come out as `DstcError`, or as they are when they are a bug of ours. */
  readonly run: <Result>(call: (sql: Sql) => Promise<Result>, limit?: CallLimit) => Promise<Result>;
  /** Runs several statements as one transaction. */
  readonly transaction: <Result>(call: (sql: Sql, orm: PostgresJsDatabase) => Promise<Result>) => Promise<Result>;
  /** The same with two round trips less; see `Ends`. */
  readonly shortTransaction: <Result>(call: (sql: Sql, ends: Ends) => Promise<Result>) => Promise<Result>;
  /** Runs one ordinary query. */
  readonly query: <Result>(call: (orm: PostgresJsDatabase) => Promise<Result>) => Promise<Result>;
  readonly close: () => Promise<void>;
}

export interface CallLimit {
  /** A call that takes longer is ended with its connection; for what is worth more on time than done. */
  readonly callMsMax: number;
}

export interface DatabaseOptions {
  readonly url: string;
  readonly connections: number;
  /** How Postgres shows the node in pg_stat_activity. */
  readonly applicationName: string;
}

/** A call of several statements, each of which has its own time. */
const callMsMax = 3 * limits.statementMsMax;
const connectionAgeMsMax = 30 * 60_000;

/** Opens a pool; connections are made when they are needed. */
export function openDatabase(options: DatabaseOptions): Database {
  const pool = createConnectionPool({
    connectionsMax: options.connections,
    ageMsMax: connectionAgeMsMax,
    callMsMax,
    open: () => openConnection(options),
  });
  let waiting = 0;
  /** Whether the last thing heard is that there is nobody to connect to. */
  let isAway = false;

  async function run<Result>(waitingMax: number, call: () => Promise<Result>): Promise<Result> {
    if (waiting >= waitingMax) {
      throw new DstcError('OVERLOADED', 'too many calls are waiting for Postgres; try again later', {
        metadata: { limit: String(waitingMax) },
        retryDelayMs: 500,
      });
    }
    // Those under way find out when it is back; everybody else would only wait behind them.
    if (isAway && waiting >= options.connections) throw databaseUnavailable();
    waiting += 1;
    try {
      const result = await call();
      isAway = false;
      return result;
    } catch (error) {
      isAway ||= isConnectFailure(error);
      throw databaseError(error);
    } finally {
      waiting -= 1;
    }
  }

  return {
    run: (call, limit) => run(limits.databaseQueueMax, () => pool.use(({ sql }) => call(sql), limit?.callMsMax)),
    transaction: (call) =>
      run(limits.databaseQueueMax, () => pool.use((connection) => inTransaction(connection, call))),
    shortTransaction: (call) =>
      run(limits.databaseQueueMax, () => pool.use(({ sql }) => inShortTransaction(sql, call))),
    // What callers read gives way first, so that a flood of readers stops no lease and no report.
    query: (call) => run(limits.databaseReadQueueMax, () => pool.use(({ orm }) => call(orm))),
    close: () => pool.close(),
  };
}
