import { setImmediate as turn } from 'node:timers/promises';
import { DstcError } from '../domain/errors.ts';
import type { EventPosition } from '../domain/event-position.ts';
import { limits } from '../domain/limits.ts';
import type { Database } from '../store/database.ts';
import type { StoredEvent } from '../store/select-events.ts';
import { type StreamPage, selectStreamAfter, selectTaskStreamAfter } from '../store/select-stream.ts';
import type { Limiter } from './limiter.ts';
import { createPause } from './pause.ts';
import type { Start } from './start.ts';
import type { Tail } from './tail.ts';

export interface SubscriptionDeps {
  readonly database: Database;
  readonly tail: Tail;
  /** Turns at reading history. */
  readonly history: Limiter;
}

export interface SubscriptionOptions {
  readonly start: Start;
  /** Whether the subscriber gets an event, as of the moment that it is asked. */
  readonly wants: (event: StoredEvent) => boolean;
  /** Set when it wants events of these tasks alone, the first of which was submitted at `sinceMs`. */
  readonly tasks: { readonly ids: readonly string[]; readonly sinceMs: number } | undefined;
  /** Aborts with the error that the subscription ends with. */
  readonly signal: AbortSignal;
}

/** Some events, or a sign of life. */
export interface Delivery {
  readonly events: readonly StoredEvent[];
  /** Everything up to here was looked at. */
  readonly position: EventPosition;
  /** Whether everything was looked at that was committed before it was last said to be so, or before the beginning. */
  readonly isCaughtUp: boolean;
}

/**
 * Yields the events after a position, without a gap and without a double. It pulls: whoever is slow finds the next events in
 * the tail or, when they are there no more, in Postgres, so that nothing is kept for it meanwhile.
 */
export async function* subscribe(deps: SubscriptionDeps, options: SubscriptionOptions): AsyncGenerator<Delivery> {
  const { signal, wants } = options;
  let { position, end } = options.start;
  let shardEventsMax: number = limits.historyShardEventsMin;
  let saidAtMs = Number.NEGATIVE_INFINITY;
  let wasCaughtUp = false;
  const pause = createPause();
  const following = deps.tail.join(pause.end);
  signal.addEventListener('abort', pause.end);

  try {
    for (;;) {
      signal.throwIfAborted();
      const page = await nextPage(deps, options, position, shardEventsMax);
      signal.throwIfAborted();
      const events = page?.events.filter(wants) ?? [];
      position = page?.next ?? position;
      // What is thrown away takes no memory, so that more of it may be read at a time.
      shardEventsMax =
        events.length > 0 ? limits.historyShardEventsMin : Math.min(2 * shardEventsMax, limits.historyShardEventsMax);
      const isCaughtUp = page?.isWhole === true && deps.tail.isCurrent() && page.horizon.final >= end;
      const isNews = events.length > 0 || (isCaughtUp && !wasCaughtUp);
      if (isNews || performance.now() - saidAtMs >= limits.subscriberSilenceMs) {
        if (isCaughtUp) end = page.horizon.end;
        wasCaughtUp = isCaughtUp;
        saidAtMs = performance.now();
        yield { events, position, isCaughtUp };
      }
      if (page?.isWhole === false) await turn();
      else await pause.forMs(limits.subscriberSilenceMs);
    }
  } finally {
    following.leave();
    signal.removeEventListener('abort', pause.end);
  }
}

/** Undefined while Postgres is away. */
async function nextPage(
  { database, tail, history }: SubscriptionDeps,
  { tasks }: SubscriptionOptions,
  position: EventPosition,
  shardEventsMax: number,
): Promise<StreamPage | undefined> {
  const recent = tail.after(position, limits.historyShardEventsMax);
  if (recent !== undefined) return recent;
  const eventsMax = limits.historyShardEventsMax;
  try {
    return await history(() =>
      database.run((sql) =>
        tasks === undefined
          ? selectStreamAfter(sql, position, shardEventsMax)
          : selectTaskStreamAfter(sql, position, {
              taskIds: tasks.ids,
              sinceMs: Math.max(tasks.sinceMs, position.timeMs),
              eventsMax,
            }),
      ),
    );
  } catch (error) {
    const isAway = error instanceof DstcError && (error.code === 'UNAVAILABLE' || error.reason === 'OVERLOADED');
    if (isAway) return undefined;
    throw error;
  }
}
