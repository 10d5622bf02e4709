import type { Logger } from 'pino';
import { limits } from '../domain/limits.ts';
import type { Database } from '../store/database.ts';
import { dropOldEventPartitions, ensureEventPartitions } from '../store/event-partitions.ts';
import { deleteOldSystemEvents } from '../store/retention.ts';

export interface TurnHistoryDeps {
  readonly database: Database;
  readonly log: Logger;
  /** History older than this many days is dropped. */
  readonly historyDays: number;
}

/** Makes room for the history of the days to come, and drops what is too old. */
export async function turnHistory({ database, log, historyDays }: TurnHistoryDeps): Promise<void> {
  const attached = await database.run((sql) => ensureEventPartitions(sql));
  const dropped = await database.run((sql) => dropOldEventPartitions(sql, historyDays));
  if (dropped.done.length > 0) log.info({ partitions: dropped.done }, 'dropped old history');
  const left = [...attached.left, ...dropped.left];
  if (left.length > 0) log.warn({ partitions: left }, 'partitions of history are left for the next turn');
  const old = { days: historyDays, eventsMax: limits.sweepBatchMax };
  while ((await database.run((sql) => deleteOldSystemEvents(sql, old))) === limits.sweepBatchMax);
}
