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
 * Keeps queues to their limits. A node counts a queue once a second at the most, up to the limit, and adds what it lets in
 * itself; so one node alone never goes beyond the limit, and several do by what the others let in within a second.
 */
export interface QueueLimits {
  readonly begin: () => Admissions;
}

/** What a node knows of a queue with a limit. */
interface Queue {
  counting: Promise<void>;
  countedMs: number;
  /** In the database, when it was counted; up to a number. */
  counted: number;
  countMax: number;
  /** Let in since, and what was on its way then. */
  added: number;
  /** Let in and not yet known to be written. */
  underWay: number;
}

const freshMs = 1_000;
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
        counting: Promise.resolve(),
        countedMs: Number.NEGATIVE_INFINITY,
        counted: 0,
        countMax: 0,
        added: 0,
        underWay: 0,
      };
      queues.set(name, queue);
    }
    if (performance.now() - queue.countedMs >= freshMs || queueMax > queue.countMax) {
      queue.countedMs = performance.now();
      queue.countMax = queueMax;
      queue.counting = count(queue, task, queueMax);
    }
    await queue.counting;
    return queue;
  }

  async function count(queue: Queue, task: Newcomer, queueMax: number): Promise<void> {
    // What is on its way may be in the count or not; it must not be missing.
    const before = queue.underWay;
    try {
      queue.counted = await database.run((sql) => countWaitingTasks(sql, task, queueMax));
      queue.added = before;
    } catch (error) {
      queue.countedMs = Number.NEGATIVE_INFINITY;
      throw error;
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

function queueFull(type: string, queueMax: number): DstcError {
  return new DstcError('QUEUE_FULL', `${queueMax} tasks of ${type} wait, which is as many as may; try again later`, {
    metadata: { task_type: type, limit: String(queueMax) },
    retryDelayMs: freshMs,
  });
}
