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
  /** Ends it: in order when it is idle, at once when it is not. */
  readonly end: () => Promise<void>;
}

export interface ConnectionOptions {
  readonly url: string;
  /** How Postgres shows the node in pg_stat_activity. */
  readonly applicationName: string;
}

/**
 * A client of postgres.js with one socket. Its own pool is left alone: between the error and the close of a socket it
 * gives further calls to a connection that is dead, which are never answered or are answered with another call's rows;
 * it rolls back on a socket that is gone, which ends the process; and a connection whose socket could not be made is
 * missing for ever.
 */
export function openConnection(options: ConnectionOptions): Connection {
  let socket: Socket | undefined;
  let isLost = false;

  async function openSocket(target: SocketTarget): Promise<Socket> {
    // What was begun on the first socket must not go on on another one.
    if (socket !== undefined) throw connectionLost();
    socket = socketTo(target);
    socket.once('close', () => {
      isLost = true;
    });
    return socket;
  }

  const sql = postgres(options.url, {
    max: 1,
    max_lifetime: null,
    idle_timeout: 0,
    connect_timeout: limits.statementMsMax / 1_000,
    onnotice: () => undefined,
    fetch_types: false,
    types: arrayTypes,
    connection: { application_name: options.applicationName, statement_timeout: limits.statementMsMax },
    // Not in the types of postgres.js, but in its code.
    ...({ socket: openSocket } as object),
  });
  return {
    sql,
    openedMs: performance.now(),
    isLost: () => isLost,
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
function socketTo(target: SocketTarget): Socket {
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
  return guardSocket(socket, limits.statementMsMax + 1_000);
}

function connectionLost(): Error {
  return Object.assign(new Error('the connection to Postgres is lost'), { code: 'CONNECTION_CLOSED' });
}
