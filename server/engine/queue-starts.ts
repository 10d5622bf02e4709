import { limits } from '../domain/limits.ts';
import type { Want } from '../store/allowance.ts';
import type { DueTask, QueueStart } from '../store/lease-tasks.ts';

/**
 * Where the living part of each queue begins, while a transaction that stays open keeps what was leased since in front of
 * it: a claim would step over all of that, again and again. So it begins a little before the first task that the last
 * claim found. What goes back to an earlier place is found by a look from the beginning, once a second.
 */
export interface QueueStarts {
  /** Where a claim may begin; nothing for queues that are to be looked at from their beginning. */
  readonly of: (wants: readonly Want[]) => readonly QueueStart[];
  readonly found: (due: readonly DueTask[]) => void;
}

interface Seen {
  readonly lookedMs: number;
  readonly firstMs: Map<number, number>;
}

/**
 * Transactions that began earlier may still commit tasks that became due then. Of one that takes longer the look from the
 * beginning finds them. At a thousand tasks a second each second of this is a thousand dead entries for each claim.
 */
const slackMs = 250;

export function createQueueStarts(isSlowed: () => boolean): QueueStarts {
  const queues = new Map<string, Seen>();

  function startsOf(want: Want): readonly QueueStart[] {
    const queue = nameOf(want);
    const seen = queues.get(queue);
    if (seen === undefined || performance.now() - seen.lookedMs > limits.pollIntervalMs) {
      // What was known stays: where this look finds nothing, nothing is due before it.
      queues.set(queue, { lookedMs: performance.now(), firstMs: seen?.firstMs ?? new Map() });
      return [];
    }
    const { namespace, type } = want;
    return [...seen.firstMs].map(([priority, ms]) => ({ namespace, type, priority, fromMs: ms - slackMs }));
  }

  return {
    of(wants) {
      if (isSlowed()) return wants.flatMap(startsOf);
      if (queues.size > 0) queues.clear();
      return [];
    },
    found(due) {
      if (queues.size === 0) return;
      for (const tasks of Map.groupBy(
        due,
        ({ namespace, type, priority }) => `${namespace}/${type}/${priority}`,
      ).values()) {
        const [first] = tasks;
        if (first === undefined) continue;
        const firstMs = Math.min(...tasks.map((task) => task.availableMs));
        queues.get(nameOf(first))?.firstMs.set(first.priority, firstMs);
      }
    },
  };
}

function nameOf({ namespace, type }: Pick<Want, 'namespace' | 'type'>): string {
  return `${namespace}/${type}`;
}
