import { limits } from '../domain/limits.ts';
import type { Want } from '../store/allowance.ts';
import type { DueTask, ExhaustedType, QueueStart } from '../store/lease-tasks.ts';

/**
 * Where the living part of each queue begins, while a transaction that stays open keeps what was leased since in front of
 * it: a claim would step over all of that, again and again. So it begins a little before the first task that the last
 * claim found, or before the time at which it had found all. What goes back to an earlier place is found by a look from the
 * beginning, once a second.
 */
export interface QueueStarts {
  /** Where a claim may begin: nothing for queues that are to be looked at from their beginning; undefined while none is slowed. */
  readonly of: (wants: readonly Want[]) => readonly QueueStart[] | undefined;
  readonly found: (found: { readonly due: readonly DueTask[]; readonly exhausted: readonly ExhaustedType[] }) => void;
}

interface Seen {
  readonly lookedMs: number;
  /** By priority. */
  readonly firstMs: Map<number, number>;
  /** Of all other priorities; undefined as long as not all of them were looked at. */
  restMs?: number;
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
      // What was known stays: this look may find so much that it does not come to the end.
      queues.set(queue, { firstMs: new Map(), ...seen, lookedMs: performance.now() });
      return [];
    }
    const { namespace, type } = want;
    const starts: QueueStart[] = [...seen.firstMs].map(([priority, ms]) => {
      return { namespace, type, priority, fromMs: ms - slackMs };
    });
    if (seen.restMs !== undefined) starts.push({ namespace, type, priority: null, fromMs: seen.restMs - slackMs });
    return starts;
  }

  return {
    of(wants) {
      if (isSlowed()) return wants.flatMap(startsOf);
      if (queues.size > 0) queues.clear();
      return undefined;
    },
    found({ due, exhausted }) {
      if (queues.size === 0) return;
      for (const type of exhausted) {
        const seen = queues.get(nameOf(type));
        if (seen === undefined) continue;
        seen.firstMs.clear();
        seen.restMs = type.nowMs;
      }
      for (const tasks of Map.groupBy(due, (task) => `${nameOf(task)}/${task.priority}`).values()) {
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
