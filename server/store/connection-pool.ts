import type { Connection } from './connection.ts';
import { databaseUnavailable, isConnectionLost } from './database-error.ts';

/** Connections that each call has to itself for as long as it takes. */
export interface ConnectionPool<Kind extends Connection> {
  readonly use: <Result>(call: (connection: Kind) => Promise<Result>, callMsMax?: number) => Promise<Result>;
  /** Lets calls that are under way end, though not for long. */
  readonly close: () => Promise<void>;
}

const closeMsMax = 5_000;

export interface ConnectionPoolOptions<Kind extends Connection> {
  readonly connectionsMax: number;
  /** A connection is not used again when it is older, so that a failover or a changed address is noticed. */
  readonly ageMsMax: number;
  /** A call that takes longer is ended with its connection, whatever it waits for. */
  readonly callMsMax: number;
  readonly open: () => Kind;
}

/** Connections are made when they are needed; those that were lost are never used again. */
export function createConnectionPool<Kind extends Connection>(
  options: ConnectionPoolOptions<Kind>,
): ConnectionPool<Kind> {
  const all = new Set<Kind>();
  const idle: Kind[] = [];
  const waiting: PromiseWithResolvers<Kind>[] = [];
  let isClosed = false;
  const allReleased = Promise.withResolvers<void>();

  function acquire(): Kind | Promise<Kind> {
    if (isClosed) throw databaseUnavailable();
    for (let found = idle.pop(); found !== undefined; found = idle.pop()) {
      if (!found.isLost()) return found;
      all.delete(found);
    }
    if (all.size < options.connectionsMax) return open();
    const turn = Promise.withResolvers<Kind>();
    waiting.push(turn);
    return turn.promise;
  }

  function open(): Kind {
    const connection = options.open();
    all.add(connection);
    return connection;
  }

  function release(connection: Kind): void {
    if (isClosed) {
      all.delete(connection);
      retire(connection);
      if (all.size === 0) allReleased.resolve();
      return;
    }
    if (performance.now() - connection.openedMs > options.ageMsMax) retire(connection);
    const isGone = connection.isLost();
    if (isGone) all.delete(connection);
    const next = waiting.shift();
    if (next !== undefined) next.resolve(isGone ? open() : connection);
    else if (!isGone) idle.push(connection);
  }

  /** It is lost from now on; what is left of it ends by itself. */
  function retire(connection: Kind): void {
    void connection.end();
  }

  /** What took one connection away has often taken the others, too, and a silent one costs a call its whole time. */
  function retireIdle(): void {
    for (const connection of idle.splice(0)) {
      all.delete(connection);
      retire(connection);
    }
  }

  return {
    async use(call, callMsMax = options.callMsMax) {
      const connection = await acquire();
      const timer = setTimeout(() => retire(connection), callMsMax);
      try {
        return await call(connection);
      } catch (error) {
        if (isConnectionLost(error)) {
          retire(connection);
          retireIdle();
        }
        throw error;
      } finally {
        clearTimeout(timer);
        release(connection);
      }
    },
    async close() {
      isClosed = true;
      for (const turn of waiting.splice(0)) turn.reject(databaseUnavailable());
      for (const connection of idle) all.delete(connection);
      await Promise.all(idle.map((connection) => connection.end()));
      if (all.size > 0) await Promise.race([allReleased.promise, afterMs(closeMsMax)]);
      await Promise.all([...all].map((connection) => connection.end()));
    },
  };
}

function afterMs(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
