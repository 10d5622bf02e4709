import type { Logger } from 'pino';
import { pointReaderAt, rewindLostReader } from '../store/event-readers.ts';
import type { SqlDatabase } from '../store/sql-database.ts';
import type { StreamWatch } from './nats-bus.ts';
import { beginReader } from './shard-holds.ts';

const reader = 'nats';

/**
 * Remembers in Postgres which stream the events have gone to. When that is gone, or another one in its place, everything
 * is published again that the stream would still hold: what happened in the last `backMs`, or all history when that is 0.
 */
export function createStreamWatch(
  { database, log }: { readonly database: SqlDatabase; readonly log: Logger },
  backMs: number,
): StreamWatch {
  return {
    missing: () => database.run((sql) => rewindLostReader(sql, reader, backMs)),
    async found(target, hasLost) {
      await beginReader(database, reader);
      const isRewound = await database.run((sql) => pointReaderAt(sql, { reader, target, hasLost, backMs }));
      if (isRewound) log.warn({ stream: target, hasLost }, 'the stream lacks events; it is filled from Postgres');
    },
  };
}
