import type { Logger } from 'pino';
import { DstcError } from '../domain/errors.ts';
import { type EventPosition, positionBefore } from '../domain/event-position.ts';
import { limits } from '../domain/limits.ts';
import type { Database } from '../store/database.ts';
import { type StreamPage, selectHorizon, selectStreamAfter } from '../store/select-stream.ts';
import { createRing, type Ring } from './ring.ts';

/** The end of the stream, which one reader follows for all subscribers of the node. */
export interface Tail {
  /** Has it followed until it is left. Calls back after each look, whether or not there was anything. */
  readonly join: (onLook: () => void) => { readonly leave: () => void };
  /** What it has after a position; undefined when that is further back than it reaches. */
  readonly after: (position: EventPosition, eventsMax: number) => StreamPage | undefined;
  /** Whether it knows where the stream ends; not while Postgres is away. */
  readonly isCurrent: () => boolean;
  readonly stop: () => void;
}

export interface TailDeps {
  readonly database: Database;
  /** Hints that events were committed on this node. */
  readonly written: { readonly listen: (listener: () => void) => void };
  readonly log: Logger;
}

/**
 * While anybody has joined, it looks soon after events were committed on this node, and each second for those of others;
 * else it does nothing and keeps nothing. Events that wait for transactions under way are looked for again at once, and
 * then less and less often, as a foreign transaction may stay open for long.
 */
export function createTail(deps: TailDeps): Tail {
  const listeners = new Set<() => void>();
  let ring: Ring | undefined;
  let timer: NodeJS.Timeout | undefined;
  let dueAtMs = Number.POSITIVE_INFINITY;
  let isLooking = false;
  let isHinted = false;
  let isCurrent = false;
  let isStopped = false;
  let retryMs: number = limits.tailPauseMs;

  deps.written.listen(() => {
    if (listeners.size === 0) return;
    isHinted = true;
    retryMs = limits.tailPauseMs;
    if (!isLooking) schedule(limits.tailPauseMs);
  });

  function schedule(waitMs: number): void {
    const atMs = performance.now() + waitMs;
    if (isStopped || listeners.size === 0 || atMs >= dueAtMs) return;
    clearTimeout(timer);
    dueAtMs = atMs;
    timer = setTimeout(() => void look(), waitMs);
    timer.unref();
  }

  function unschedule(): void {
    clearTimeout(timer);
    dueAtMs = Number.POSITIVE_INFINITY;
  }

  async function look(): Promise<void> {
    unschedule();
    isLooking = true;
    isHinted = false;
    const startedMs = performance.now();
    let waitMs: number = limits.pollIntervalMs;
    try {
      waitMs = await read();
      isCurrent = true;
    } catch (error) {
      isCurrent = false;
      const isAway = error instanceof DstcError;
      deps.log[isAway ? 'warn' : 'error']({ err: error }, 'the end of the stream of events could not be read');
    }
    isLooking = false;
    for (const onLook of listeners) onLook();
    if (listeners.size === 0) ring = undefined;
    // Under load it leaves the database alone for most of the time.
    const pauseMs = Math.max(limits.tailPauseMs, (performance.now() - startedMs) * limits.tailPauseFactor);
    schedule(isHinted ? pauseMs : Math.max(pauseMs, waitMs));
  }

  /** Reads what there is and answers with how long to wait then, unless there is a hint. */
  async function read(): Promise<number> {
    ring ??= await emptyRing(deps.database);
    const { head, add } = ring;
    const page = await deps.database.run((sql) => selectStreamAfter(sql, head(), limits.tailShardEventsMax));
    add(page);
    if (!page.isWhole) return 0;
    if (page.horizon.final === page.horizon.end) return limits.pollIntervalMs;
    retryMs = page.events.length > 0 ? limits.tailPauseMs : Math.min(2 * retryMs, limits.pollIntervalMs);
    return retryMs;
  }

  return {
    join(onLook) {
      if (listeners.size === 0) isCurrent = false;
      listeners.add(onLook);
      if (!isLooking && !isCurrent) schedule(0);
      return {
        leave() {
          listeners.delete(onLook);
          if (listeners.size > 0) return;
          unschedule();
          if (!isLooking) ring = undefined;
        },
      };
    },
    after: (position, eventsMax) => ring?.after(position, eventsMax),
    isCurrent: () => isCurrent,
    stop() {
      isStopped = true;
      unschedule();
    },
  };
}

async function emptyRing(database: Database): Promise<Ring> {
  const { nowMs, ...horizon } = await database.run(selectHorizon);
  const start = positionBefore(String(horizon.final), nowMs);
  return createRing({ eventsMax: limits.tailEventsMax, bytesMax: limits.tailBytesMax }, start, horizon);
}
