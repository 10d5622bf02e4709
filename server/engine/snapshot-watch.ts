import type { Logger } from 'pino';
import { limits } from '../domain/limits.ts';
import type { Database } from '../store/database.ts';
import { selectOldestSnapshot } from '../store/oldest-snapshot.ts';

/**
 * Watches for transactions that stay open. While one does, dead rows pile up in the queues, which every claim has to step
 * over: nothing breaks, but everything gets slower until somebody ends it.
 */
export interface SnapshotWatch {
  readonly look: () => Promise<void>;
  /** Of the oldest one when last looked at; 0 without any. */
  readonly ageMs: () => number;
  /** Whether one is old enough for claims to step around what it keeps. */
  readonly isSlowing: () => boolean;
}

interface Bounds {
  readonly snapshotAgeMsMax: number;
  readonly snapshotWarningEveryMs: number;
}

export function createSnapshotWatch(
  deps: { readonly database: Database; readonly log: Logger },
  { snapshotAgeMsMax, snapshotWarningEveryMs }: Bounds = limits,
): SnapshotWatch {
  let lastAgeMs = 0;
  let warnedMs = Number.NEGATIVE_INFINITY;
  return {
    ageMs: () => lastAgeMs,
    isSlowing: () => lastAgeMs > limits.snapshotSlowsAfterMs,
    async look() {
      const oldest = await deps.database.run((sql) => selectOldestSnapshot(sql));
      lastAgeMs = oldest?.ageMs ?? 0;
      const wasWarned = performance.now() - warnedMs < snapshotWarningEveryMs;
      if (oldest === undefined || lastAgeMs < snapshotAgeMsMax || wasWarned) return;
      warnedMs = performance.now();
      const { applicationName, pid } = oldest;
      const ageS = Math.round(lastAgeMs / 1_000);
      deps.log.warn({ ageS, pid, applicationName }, 'a transaction stays open and slows every queue down; end it');
    },
  };
}
