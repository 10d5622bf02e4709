import { type EventPosition, positionBefore } from '../domain/event-position.ts';
import { limits } from '../domain/limits.ts';
import type { Database } from '../store/database.ts';
import { selectHorizon } from '../store/select-stream.ts';
import { planByIndex, selectFirstAtOrder } from '../store/select-stream-time.ts';

/** Where a subscription begins. */
export interface Start {
  readonly position: EventPosition;
  /** Everything that has been committed by now comes before this stream order. */
  readonly end: bigint;
}

const dayMs = 24 * 3_600_000;

/** Before everything that is committed from now on. */
export async function startNow(database: Database): Promise<Start> {
  const { final, end, nowMs } = await database.run(selectHorizon);
  return { position: positionBefore(String(final), nowMs), end };
}

/** After a position. */
export async function startAfter(database: Database, position: EventPosition): Promise<Start> {
  const { end } = await database.run(selectHorizon);
  return { position, end };
}

/**
 * Before everything that happened at a time or later, and not long before.
 *
 * The order of the stream is about that of time, not exactly: an event's time is when its transaction began. But a
 * transaction that began `eventTransactionMsMax` before a time has ended by then, so that its events stand before all that
 * happened from that time on. Such an event is looked for by halving; which one is found does not matter for being right.
 */
export function startAt(database: Database, timeMs: number): Promise<Start> {
  return database.transaction(async (sql) => {
    const { final, end, nowMs } = await selectHorizon(sql);
    await planByIndex(sql);
    const earlyMs = timeMs - limits.eventTransactionMsMax;
    const fromMs = Math.floor(earlyMs / dayMs) * dayMs;
    const first = await selectFirstAtOrder(sql, 0n, { fromMs, untilMs: Number.MAX_SAFE_INTEGER });
    if (first === undefined) return { position: positionBefore(String(final), nowMs), end };
    let [before, beyond] = [first, final];
    while (before.timeMs < earlyMs && beyond - before.order > 1n) {
      const middle = (before.order + beyond) >> 1n;
      const found = await selectFirstAtOrder(sql, middle, { fromMs, untilMs: fromMs + 2 * dayMs });
      if (found !== undefined && found.timeMs < earlyMs) before = found;
      else beyond = middle;
    }
    return { position: positionBefore(String(before.order), before.timeMs), end };
  });
}
