import { setTimeout as delay } from 'node:timers/promises';
import { limits } from '../../domain/limits.ts';

/** Reports of one stream whose commit is still to come: what bounds how far a stream is read ahead. */
export interface Unsettled {
  readonly add: (settled: Promise<void>, bytes: number) => void;
  readonly isFull: () => boolean;
  /** Resolves with the next settlement, or a moment later. */
  readonly change: () => Promise<void>;
  /** Resolves when all of them have theirs. */
  readonly all: () => Promise<void>;
}

const momentMs = 100;

export function createUnsettled(): Unsettled {
  const pending = new Set<Promise<void>>();
  let pendingBytes = 0;
  let changed = Promise.withResolvers<void>();

  return {
    add(settled, bytes) {
      pendingBytes += bytes;
      const done = settled.finally(() => {
        pending.delete(done);
        pendingBytes -= bytes;
        changed.resolve();
        changed = Promise.withResolvers();
      });
      pending.add(done);
    },
    isFull: () => pending.size > limits.unsettledReportsMax || pendingBytes > limits.unsettledBytesMax,
    async change() {
      await Promise.race([changed.promise, delay(momentMs, undefined, { ref: false })]);
    },
    async all() {
      await Promise.allSettled(pending);
    },
  };
}
