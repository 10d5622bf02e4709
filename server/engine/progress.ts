import type { Logger } from 'pino';
import { DstcError } from '../domain/errors.ts';
import { type Fence, isSameFence, type LeaseId } from '../domain/ids.ts';
import { limits } from '../domain/limits.ts';
import type { Database } from '../store/database.ts';
import { type ProgressReport, type Reporter, storeCurrentProgress } from '../store/report-tasks.ts';
import type { Reporting } from './live-session.ts';
import type { Wake } from './wake.ts';

export interface Progress {
  readonly percent: number;
  readonly message: string;
  /** Undefined keeps the last one. */
  readonly checkpoint: Uint8Array | undefined;
}

/** Keeps the last progress of each lease and stores all of them at a bounded rate, in one statement. */
export interface ProgressReports {
  readonly add: (from: Reporting, fence: Fence, progress: Progress) => void;
  /** What may not be stored yet of a lease, for the transaction that ends it: once it has ended, progress is refused. */
  readonly take: (from: Pick<Reporter, 'fence' | 'sessionId'>) => ProgressReport | undefined;
  /** Takes back what was taken, as that transaction has failed. */
  readonly restore: (report: ProgressReport) => void;
  /** Stores what is there, once, and then nothing more: a node must also end while Postgres is away. */
  readonly stop: () => Promise<void>;
}

export function createProgressReports(deps: {
  readonly database: Database;
  readonly wake: Wake;
  readonly log: Logger;
}): ProgressReports {
  const latest = new Map<LeaseId, ProgressReport>();
  /** Under way to the database. */
  let writing = new Map<LeaseId, ProgressReport>();
  let lastWriteMs = Number.NEGATIVE_INFINITY;
  let scheduled = false;
  let timer: NodeJS.Timeout | undefined;
  let underWay = Promise.resolve();
  let isStopped = false;

  function schedule(): void {
    if (scheduled || isStopped || latest.size === 0) return;
    scheduled = true;
    const waitMs = Math.max(0, lastWriteMs + limits.progressStoreIntervalMs - performance.now());
    timer = setTimeout(() => {
      underWay = write();
    }, waitMs);
  }

  async function write(): Promise<void> {
    // What was gathered meanwhile goes in as many statements as it takes, and only then is there a pause.
    if (latest.size <= limits.groupCommitItemsMax) lastWriteMs = performance.now();
    const batch = new Map([...latest].slice(0, limits.groupCommitItemsMax));
    writing = batch;
    for (const leaseId of batch.keys()) latest.delete(leaseId);
    const reports = [...batch.values()];
    try {
      if (reports.length === 0) return;
      await deps.database.run((sql) => storeCurrentProgress(sql, reports));
      deps.wake.tasksChanged.give({ ids: reports.map((report) => report.fence.taskId), ended: false });
    } catch (error) {
      const isAway = error instanceof DstcError;
      deps.log[isAway ? 'warn' : 'error']({ err: error, reports: reports.length }, 'progress was not stored');
      if (isAway) for (const report of batch.values()) latest.set(report.fence.leaseId, newest(report) ?? report);
    } finally {
      writing = new Map();
      scheduled = false;
      schedule();
    }
  }

  /** The last report of a lease, with the last checkpoint, which an earlier one may have brought. */
  function newest({ fence, sessionId }: Pick<Reporter, 'fence' | 'sessionId'>): ProgressReport | undefined {
    const reports = [latest.get(fence.leaseId), writing.get(fence.leaseId)].filter(
      (report) => report?.sessionId === sessionId && isSameFence(report.fence, fence),
    );
    const [last] = reports;
    if (last === undefined) return undefined;
    return { ...last, checkpoint: reports.find((report) => report?.checkpoint)?.checkpoint ?? null };
  }

  return {
    take(from) {
      const report = newest(from);
      if (report === undefined) return undefined;
      latest.delete(report.fence.leaseId);
      // If that write fails, it must not bring back what is older than what was taken.
      writing.delete(report.fence.leaseId);
      return report;
    },
    restore(report) {
      const newer = newest(report);
      const checkpoint = newer?.checkpoint ?? report.checkpoint;
      latest.set(report.fence.leaseId, { ...(newer ?? report), checkpoint });
      schedule();
    },
    add(from, fence, progress) {
      const earlier = newest({ fence, sessionId: from.sessionId });
      latest.set(fence.leaseId, {
        fence,
        sessionId: from.sessionId,
        actor: from.actor,
        percent: progress.percent,
        message: progress.message,
        checkpoint: progress.checkpoint ?? earlier?.checkpoint ?? null,
      });
      schedule();
    },
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await underWay;
      for (let left = latest.size; left > 0; left -= limits.groupCommitItemsMax) await write();
    },
  };
}
