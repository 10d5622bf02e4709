import { connect, type Socket } from 'node:net';
import postgres from 'postgres';
import { limits } from '../domain/limits.ts';
import { arrayTypes } from './array-types.ts';
import { guardSocket } from './socket-guard.ts';

/** One connection to Postgres, from its first statement to its loss: it is never made again. */
export interface Connection {
  readonly sql: postgres.Sql;
  readonly openedMs: number;
  readonly isLost: () => boolean;
  /** Resolves with the reason when the socket is gone, after which what is under way may never be answered. */
  readonly lost: Promise<Error>;
  /** Ends it: in order when it is idle, at once when it is not. */
  readonly end: () => Promise<void>;
}

export interface ConnectionOptions {
  readonly url: string;
  /** How Postgres shows the node in pg_stat_activity. */
  readonly applicationName: string;
  /** How long a statement may take, and a transaction may wait for its next one; null for as long as it takes. */
  readonly statementMsMax: number | null;
}

/** Postgres ends the session of a machine that has vanished, with its locks, after half a minute instead of two hours. */
const keepalive = { tcp_keepalives_idle: 10, tcp_keepalives_interval: 5, tcp_keepalives_count: 4 };

/**
 * A client of postgres.js with one socket. Its own pool is left alone: between the error and the close of a socket it
 * gives further calls to a connection that is dead, which are never answered or are answered with another call's rows;
 * it rolls back on a socket that is gone, which ends the process; and a connection whose socket could not be made is
 * missing for ever.
 */
export function openConnection({ url, applicationName, statementMsMax }: ConnectionOptions): Connection {
  let socket: Socket | undefined;
  let isLost = false;
  const lost = Promise.withResolvers<Error>();

  async function openSocket(target: SocketTarget): Promise<Socket> {
    // What was begun on the first socket must not go on on another one.
    if (socket !== undefined) throw connectionLost();
    socket = socketTo(target, statementMsMax);
    let reason = connectionLost();
    socket.once('error', (error) => {
      reason = error;
    });
    socket.once('close', () => {
      isLost = true;
      lost.resolve(reason);
    });
    return socket;
  }

  const sql = postgres(url, {
    max: 1,
    max_lifetime: null,
    idle_timeout: 0,
    connect_timeout: limits.statementMsMax / 1_000,
    onnotice: () => undefined,
    fetch_types: false,
    types: arrayTypes,
    connection: {
      application_name: applicationName,
      ...keepalive,
      ...(statementMsMax !== null && {
        statement_timeout: statementMsMax,
        // A node that falls silent in the middle of a transaction keeps its rows from the others, and all later events.
        idle_in_transaction_session_timeout: statementMsMax,
      }),
    },
    // Not in the types of postgres.js, but in its code.
    ...({ socket: openSocket } as object),
  });
  return {
    sql,
    openedMs: performance.now(),
    isLost: () => isLost,
    lost: lost.promise,
    async end() {
      isLost = true;
      await sql.end({ timeout: 0 });
      socket?.destroy();
    },
  };
}

interface SocketTarget {
  readonly host: string | readonly string[];
  readonly port: number | readonly number[];
  readonly path?: string | false;
}

/** A socket that keeps what is written until it is connected. */
function socketTo(target: SocketTarget, statementMsMax: number | null): Socket {
  const host = [target.host].flat()[0] ?? '127.0.0.1';
  const port = [target.port].flat()[0] ?? 5432;
  const socket = target.path ? connect(target.path) : connect({ host, port });
  socket.setNoDelay(true);
  const timer = setTimeout(
    () => socket.destroy(new Error(`no connection to Postgres within ${limits.statementMsMax} ms`)),
    limits.statementMsMax,
  );
  socket.once('connect', () => clearTimeout(timer));
  socket.once('close', () => clearTimeout(timer));
  return statementMsMax === null ? socket : guardSocket(socket, statementMsMax + 1_000);
}

function connectionLost(): Error {
  return Object.assign(new Error('the connection to Postgres is lost'), { code: 'CONNECTION_CLOSED' });
}
