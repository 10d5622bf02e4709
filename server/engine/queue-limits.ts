import { LRUCache } from 'lru-cache';
import { DstcError } from '../domain/errors.ts';
import { limits } from '../domain/limits.ts';
import type { Database } from '../store/database.ts';
import { selectIdempotencyKeys } from '../store/insert-tasks.ts';
import { countWaitingTasks } from '../store/waiting-tasks.ts';
import { createGroupCommit } from './group-commit.ts';

/** A task that wants to wait. */
export interface Newcomer {
  readonly namespace: string;
  readonly type: string;
  readonly idempotencyKey: string | null;
}

/** The places of one call's tasks in their queues, from before they are written until it is known what came of them. */
export interface Admissions {
  /** Rejects with `QUEUE_FULL` when as many wait as may. The repeat of a task that is there is no newcomer. */
  readonly admit: (task: Newcomer, queueMax: number | null | undefined) => Promise<void>;
  /** The call has ended; a place of a task that was not written is free again. */
  readonly end: (wereWritten: boolean) => void;
}

/**
 * Keeps queues to their limits. A node counts a queue now and then, up to the limit, and adds what it lets in itself; so
 * one node alone never goes beyond the limit. Of several each may let in what room it saw: beyond the limit by the room
 * of one count for each node but one.
 */
export interface QueueLimits {
  readonly begin: () => Admissions;
}

/** What a node knows of a queue with a limit. */
interface Queue {
  counting: Promise<void>;
  isCounting: boolean;
  /** When the last count began, and how long it took. */
  countedMs: number;
  tookMs: number;
  /** In the database, when it was counted; up to a number. */
  counted: number;
  countMax: number;
  /** Let in since, and what was on its way then. */
  added: number;
  /** Let in altogether. */
  letIn: number;
  /** Let in and not yet known to be written. */
  underWay: number;
}

/** How long a count is good for. */
const goodForMs = { whileHalfEmpty: 1_000, min: 100, max: 1_000 };
/** Counting a nearly full queue may take this part of the time, so that a long one is counted less often. */
const countingShare = 1 / 20;
const queuesMax = 10_000;

export function createQueueLimits({ database }: { readonly database: Database }): QueueLimits {
  const queues = new LRUCache<string, Queue>({ max: queuesMax });
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

  async function queueOf(task: Newcomer, queueMax: number): Promise<Queue> {
    const name = `${task.namespace}/${task.type}`;
    let queue = queues.get(name);
    if (queue === undefined) {
      queue = {
        ...{ counting: Promise.resolve(), isCounting: false, countedMs: Number.NEGATIVE_INFINITY, tookMs: 0 },
        ...{ counted: 0, countMax: 0, added: 0, letIn: 0, underWay: 0 },
      };
      queues.set(name, queue);
    }
    while (queue.isCounting) await queue.counting;
    if (performance.now() - queue.countedMs >= goodMs(queue, queueMax) || queueMax > queue.countMax) {
      queue.countedMs = performance.now();
      queue.countMax = queueMax;
      queue.counting = count(queue, task, queueMax);
      await queue.counting;
    }
    return queue;
  }

  async function count(queue: Queue, task: Newcomer, queueMax: number): Promise<void> {
    // What is on its way may be in the count or not; it must not be missing.
    const before = queue.underWay - queue.letIn;
    queue.isCounting = true;
    try {
      queue.counted = await database.run((sql) => countWaitingTasks(sql, task, queueMax));
      queue.added = before + queue.letIn;
      queue.tookMs = performance.now() - queue.countedMs;
    } catch (error) {
      queue.countedMs = Number.NEGATIVE_INFINITY;
      throw error;
    } finally {
      queue.isCounting = false;
    }
  }

  async function isRepeat({ namespace, idempotencyKey: key }: Newcomer): Promise<boolean> {
    return key !== null && (await lookups.add({ namespace, key }));
  }

  return {
    begin() {
      const places: Queue[] = [];
      return {
        async admit(task, queueMax) {
          if (queueMax === null || queueMax === undefined) return;
          const queue = await queueOf(task, queueMax);
          if (queue.counted + queue.added < queueMax) {
            queue.added += 1;
            queue.letIn += 1;
            queue.underWay += 1;
            places.push(queue);
          } else if (!(await isRepeat(task))) throw queueFull(task.type, queueMax);
        },
        end(wereWritten) {
          for (const queue of places.splice(0)) {
            queue.underWay -= 1;
            if (!wereWritten) queue.added -= 1;
          }
        },
      };
    },
  };
}

/** A count of a queue with much room is good for long; where every place counts, for as short as counting allows. */
function goodMs({ counted, added, tookMs }: Queue, queueMax: number): number {
  if (2 * (counted + added) < queueMax) return goodForMs.whileHalfEmpty;
  return Math.min(goodForMs.max, Math.max(goodForMs.min, tookMs / countingShare));
}

function queueFull(type: string, queueMax: number): DstcError {
  return new DstcError('QUEUE_FULL', `${queueMax} tasks of ${type} wait, which is as many as may; try again later`, {
    metadata: { task_type: type, limit: String(queueMax) },
    retryDelayMs: goodForMs.max,
  });
}
