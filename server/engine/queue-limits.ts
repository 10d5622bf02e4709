import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import { DstcError } from '../domain/errors.ts';
import { limits } from '../domain/limits.ts';
import type { Database } from '../store/database.ts';
import { type NewTask, selectIdempotencyKeys } from '../store/insert-tasks.ts';
import type { TypeName } from '../store/limited-types.ts';
import { releaseReservations } from '../store/queue-reservations.ts';
import { createGroupCommit } from './group-commit.ts';
import { reservePlaces } from './reserve-places.ts';

/** A task that wants to wait. */
export interface Newcomer extends TypeName {
  readonly idempotencyKey: string | null;
}

/** Where a task may wait, from before it is written until it is known what came of it. */
export interface Place {
  readonly reservationId: string;
  /** The limit that it was given under. */
  readonly queueMax: number;
  /** Of what became of a place that is `unknown`, nothing is ever concluded. */
  readonly end: (use: 'taken' | 'free' | 'unknown') => void;
  /** Its reservation was found to be gone, with all its places. */
  readonly lose: () => void;
}

/** A task with the place that it was given, if its queue has a limit. */
export interface PlacedTask extends NewTask {
  readonly place?: Place | undefined;
}

/**
 * Keeps queues to their limits, exactly and over all nodes: a task comes in only by a place that its node has reserved
 * in the database, in the statement that inserts it, and places that are reserved and tasks that wait are never more than
 * the limit. A node reserves what it has use for, and some more while there is much room, so that it asks once a second or
 * once in many tasks. What it leaves unused is anybody's after `limits.queueReservationMs`.
 *
 * Only submissions take places. A task that comes back (a retry, a redrive, a lost lease) may find the queue full, and
 * stands beside it.
 */
export interface QueueLimits {
  /**
   * Answers with a place, or undefined when the queue has no limit. Rejects with `QUEUE_FULL` when there is none. The repeat
   * of a task that is there needs none, and gets one that lets in nothing.
   */
  readonly admit: (task: Newcomer, queueMax: number | null | undefined) => Promise<Place | undefined>;
  /** The reservations that these tasks are the last ones of: who writes them deletes those with them. */
  readonly usedUpBy: (tasks: readonly PlacedTask[]) => string[];
  /** Gives back what is not used. */
  readonly stop: () => Promise<void>;
}

interface Reservation {
  readonly id: string;
  readonly places: number;
  /** No place of it is given out after that. */
  readonly untilMs: number;
  free: number;
  /** Places of tasks that are on their way. */
  underWay: number;
  /** Places of which it is not known whether a task has them. */
  unknown: number;
  /** Whether it is gone from the database, or a statement under way deletes it. */
  isGone: boolean;
}

/** What a node knows of a queue with a limit. */
interface Queue {
  /** What places are given out of. */
  current: Reservation | undefined;
  /** Those before, of which none is given out any more. */
  retired: Reservation[];
  asking: Promise<'unlimited' | undefined> | undefined;
  /** Callers that wait for the answer. */
  asked: number;
  queueMax: number;
  /** There is no room before that. */
  fullUntilMs: number;
}

const queuesMax = 10_000;
/** No reservation has this id. */
const noReservationId = '00000000-0000-0000-0000-000000000000';

export function createQueueLimits(deps: { readonly database: Database; readonly log: Logger }): QueueLimits {
  const { database, log } = deps;
  const queues = new LRUCache<string, Queue>({ max: queuesMax });
  const sources = new WeakMap<Place, Reservation>();
  const lookups = createGroupCommit<{ readonly namespace: string; readonly key: string }, boolean>({
    async flush(keys) {
      const found = await database.run((sql) => selectIdempotencyKeys(sql, keys));
      const there = new Set(found.map(({ namespace, key }) => `${namespace}/${key}`));
      return keys.map(({ namespace, key }) => there.has(`${namespace}/${key}`));
    },
    itemsMax: limits.groupCommitItemsMax,
    bytesMax: limits.groupCommitBytesMax,
    bytesOf: () => 64,
    concurrency: 1,
    queueMax: limits.groupCommitQueueMax,
  });

  function queueOf(task: TypeName, queueMax: number): Queue {
    const name = `${task.namespace}/${task.type}`;
    let queue = queues.get(name);
    if (queue === undefined) {
      queue = {
        ...{ current: undefined, retired: [], asking: undefined, asked: 0 },
        ...{ queueMax, fullUntilMs: Number.NEGATIVE_INFINITY },
      };
      queues.set(name, queue);
    }
    // With another limit there may be room.
    if (queue.queueMax !== queueMax) queue.fullUntilMs = Number.NEGATIVE_INFINITY;
    queue.queueMax = queueMax;
    return queue;
  }

  /** Takes a place of a reservation, asking for one as long as it must and there may be one. */
  async function take(queue: Queue, type: TypeName): Promise<Reservation | 'full' | 'unlimited'> {
    for (;;) {
      const { current } = queue;
      if (current !== undefined && current.free > 0 && performance.now() < current.untilMs) {
        current.free -= 1;
        current.underWay += 1;
        return current;
      }
      if (performance.now() < queue.fullUntilMs) return 'full';
      queue.asked += 1;
      try {
        queue.asking ??= ask(queue, type).finally(() => {
          queue.asking = undefined;
        });
        if ((await queue.asking) === 'unlimited') return 'unlimited';
      } finally {
        queue.asked -= 1;
      }
    }
  }

  async function ask(queue: Queue, { namespace, type }: TypeName): Promise<'unlimited' | undefined> {
    const startedMs = performance.now();
    const before = queue.current === undefined ? 0 : queue.current.places - queue.current.free;
    const reserved = await reservePlaces(
      deps,
      { namespace, type },
      {
        endedIds: takeEnded(queue).map(({ id }) => id),
        wanted: () => ({ now: queue.asked, before }),
        lifeMs: limits.queueReservationMs,
      },
    );
    if (reserved.kind === 'unlimited') return 'unlimited';
    if (reserved.kind === 'full') queue.fullUntilMs = performance.now() + reserved.againMs;
    else {
      const { id, places } = reserved;
      const untilMs = startedMs + limits.queueReservationUseMs;
      queue.current = { id, places, untilMs, free: places, underWay: 0, unknown: 0, isGone: false };
    }
    return undefined;
  }

  function placeOf(reservation: Reservation, queue: Queue, queueMax: number): Place {
    const place: Place = {
      reservationId: reservation.id,
      queueMax,
      end(use) {
        reservation.underWay -= 1;
        if (use === 'unknown') reservation.unknown += 1;
        if (use === 'free' && queue.current === reservation && !reservation.isGone) reservation.free += 1;
      },
      lose() {
        reservation.free = 0;
        reservation.isGone = true;
      },
    };
    sources.set(place, reservation);
    return place;
  }

  async function isRepeat({ namespace, idempotencyKey: key }: Newcomer): Promise<boolean> {
    return key !== null && (await lookups.add({ namespace, key }));
  }

  return {
    async admit(task, queueMax) {
      if (queueMax === null || queueMax === undefined) return undefined;
      const queue = queueOf(task, queueMax);
      const taken = await take(queue, task);
      if (taken === 'unlimited') return undefined;
      if (taken !== 'full') return placeOf(taken, queue, queueMax);
      if (await isRepeat(task))
        return { reservationId: noReservationId, queueMax, end: () => undefined, lose: () => undefined };
      throw queueFull(task.type, queueMax);
    },

    usedUpBy(tasks) {
      const counts = new Map<Reservation, number>();
      for (const { place } of tasks) {
        const reservation = place && sources.get(place);
        if (reservation !== undefined) counts.set(reservation, (counts.get(reservation) ?? 0) + 1);
      }
      const usedUp = [...counts].flatMap(([reservation, count]) =>
        reservation.free === 0 && reservation.unknown === 0 && reservation.underWay === count ? [reservation] : [],
      );
      for (const reservation of usedUp) reservation.isGone = true;
      return usedUp.map(({ id }) => id);
    },

    async stop() {
      const ids = [...queues.values()].flatMap(takeEnded).map(({ id }) => id);
      queues.clear();
      if (ids.length === 0) return;
      try {
        await database.run((sql) => releaseReservations(sql, ids));
      } catch (error) {
        log.warn({ err: error }, 'places of queues could not be given back; they are free again in seconds');
      }
    },
  };
}

/** Retires what a queue's places come from, and answers with those that no task is under way by any more. */
function takeEnded(queue: Queue): Reservation[] {
  const { current } = queue;
  if (current !== undefined) {
    current.free = 0;
    queue.retired.push(current);
    queue.current = undefined;
  }
  const known = queue.retired.filter(({ isGone, unknown }) => !isGone && unknown === 0);
  const goneMs = performance.now() + limits.queueReservationUseMs - limits.queueReservationMs;
  queue.retired = known.filter(({ underWay, untilMs }) => underWay > 0 && untilMs > goneMs);
  return known.filter(({ underWay }) => underWay === 0);
}

export function queueFull(type: string, queueMax: number): DstcError {
  return new DstcError('QUEUE_FULL', `${queueMax} tasks of ${type} wait, which is as many as may; try again later`, {
    metadata: { task_type: type, limit: String(queueMax) },
    retryDelayMs: limits.queueFullRetryMs,
  });
}
