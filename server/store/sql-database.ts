import type postgres from 'postgres';
import { DstcError } from '../domain/errors.ts';
import { limits } from '../domain/limits.ts';
import { type Connection, openConnection } from './connection.ts';
import { createConnectionPool } from './connection-pool.ts';
import { databaseError, databaseUnavailable, isConnectFailure } from './database-error.ts';

/** What a statement runs on: a connection, perhaps in a transaction. */
export type Sql = postgres.ISql;

/**
 * Postgres, with a deadline on every call and a bounded queue before it; for statements alone. Drizzle takes a second and
 * 170 MiB to load, which only those pay who use it: see `database.ts`.
 */
export interface SqlDatabase {
  /** Runs one call; errors come out as `DstcError`, or as they are when they are a bug of ours. */
  readonly run: <Result>(call: (sql: Sql) => Promise<Result>, limit?: CallLimit) => Promise<Result>;
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

/** Opens a pool; connections are made when they are needed. */
export function openSqlDatabase(options: DatabaseOptions): SqlDatabase {
  const { statementMsMax } = limits;
  const { call, close } = openCalls(options.connections, () => openConnection({ ...options, statementMsMax }));
  return { run: (statement, limit) => call(limits.databaseQueueMax, ({ sql }) => statement(sql), limit), close };
}

/** Calls that have a connection each, as far as there are any. */
export interface Calls<Kind extends Connection> {
  /** Refused when `waitingMax` wait already. */
  readonly call: <Result>(
    waitingMax: number,
    use: (connection: Kind) => Promise<Result>,
    limit?: CallLimit,
  ) => Promise<Result>;
  readonly close: () => Promise<void>;
}

/** A call of several statements, each of which has its own time. */
const callMsMax = 3 * limits.statementMsMax;
const connectionAgeMsMax = 30 * 60_000;

export function openCalls<Kind extends Connection>(connections: number, open: () => Kind): Calls<Kind> {
  const pool = createConnectionPool({ connectionsMax: connections, ageMsMax: connectionAgeMsMax, callMsMax, open });
  let waiting = 0;
  /** Whether the last thing heard is that there is nobody to connect to. */
  let isAway = false;

  return {
    async call(waitingMax, use, limit) {
      if (waiting >= waitingMax) {
        throw new DstcError('OVERLOADED', 'too many calls are waiting for Postgres; try again later', {
          metadata: { limit: String(waitingMax) },
          retryDelayMs: 500,
        });
      }
      // Those under way find out when it is back; everybody else would only wait behind them.
      if (isAway && waiting >= connections) throw databaseUnavailable();
      waiting += 1;
      try {
        const result = await pool.use(use, limit?.callMsMax);
        isAway = false;
        return result;
      } catch (error) {
        isAway ||= isConnectFailure(error);
        throw databaseError(error);
      } finally {
        waiting -= 1;
      }
    },
    close: () => pool.close(),
  };
}
