import type { Logger } from 'pino';
import { DstcError } from '../domain/errors.ts';
import { type Fence, isSameFence, type LeaseId } from '../domain/ids.ts';
import { limits } from '../domain/limits.ts';
import type { Database } from '../store/database.ts';
import { acceptCurrentLeases, type Reporter } from '../store/report-tasks.ts';
import type { Reporting } from './live-session.ts';
import type { Wake } from './wake.ts';

/** An accept that is not yet written. */
export interface Outstanding {
  readonly reporter: Reporter;
  /** By `performance.now()`. */
  readonly sinceMs: number;
}

/**
 * Accepts that are about to be written. Nobody waits for one, so they gather for a moment: a task that ends before is
 * accepted and ended in one statement.
 */
export interface Accepts {
  readonly add: (from: Reporting, fence: Fence) => void;
  /** What may not be written yet of a lease, for a statement that writes it with another report of the same lease. */
  readonly take: (from: Pick<Reporter, 'fence' | 'sessionId'>) => Outstanding | undefined;
  /** Takes back what was taken, as that statement has failed. */
  readonly restore: (accept: Outstanding) => void;
  /** Writes what is outstanding, once, and then nothing more: a node must also end while Postgres is away. */
  readonly stop: () => Promise<void>;
}

/** How long ago the worker has accepted; now, when nothing is known of it. */
export function agoMsOf(accept: Outstanding | undefined): number {
  return accept === undefined ? 0 : performance.now() - accept.sinceMs;
}

/** An accept as it is written. */
export function acceptanceOf(accept: Outstanding): Reporter & { readonly agoMs: number } {
  return { ...accept.reporter, agoMs: agoMsOf(accept) };
}

/** Long enough for a quick task to end, short enough for a person who watches. */
const gatherMs = 50;

export function createAccepts(deps: {
  readonly database: Database;
  readonly wake: Wake;
  readonly log: Logger;
}): Accepts {
  const outstanding = new Map<LeaseId, Outstanding>();
  /** Under way to the database, where the end of their tasks may come before them. Writing one twice is harmless. */
  let writing = new Map<LeaseId, Outstanding>();
  let scheduled = false;
  let timer: NodeJS.Timeout | undefined;
  let underWay = Promise.resolve();
  let isStopped = false;
  let wasAway = false;

  function schedule(): void {
    if (scheduled || isStopped || outstanding.size === 0) return;
    scheduled = true;
    const waitMs = wasAway ? limits.pollIntervalMs : gatherMs;
    timer = setTimeout(() => {
      underWay = write();
    }, waitMs);
  }

  async function write(): Promise<void> {
    const batch = new Map([...outstanding].slice(0, limits.groupCommitItemsMax));
    writing = batch;
    for (const leaseId of batch.keys()) outstanding.delete(leaseId);
    const reports = [...batch.values()].map(acceptanceOf);
    try {
      if (reports.length === 0) return;
      await deps.database.run((sql) => acceptCurrentLeases(sql, reports));
      wasAway = false;
      deps.wake.eventsWritten.give(undefined);
      deps.wake.tasksChanged.give({ ids: reports.map((report) => report.fence.taskId), ended: false });
    } catch (error) {
      const isAway = error instanceof DstcError;
      wasAway = isAway;
      deps.log[isAway ? 'warn' : 'error']({ err: error, accepts: reports.length }, 'accepts were not written');
      // The leases stand without.
      if (isAway) for (const [leaseId, accept] of batch) outstanding.set(leaseId, accept);
    } finally {
      writing = new Map();
      scheduled = false;
      schedule();
    }
  }

  function take({ fence, sessionId }: Pick<Reporter, 'fence' | 'sessionId'>): Outstanding | undefined {
    const accept = outstanding.get(fence.leaseId) ?? writing.get(fence.leaseId);
    if (accept?.reporter.sessionId !== sessionId || !isSameFence(accept.reporter.fence, fence)) return undefined;
    outstanding.delete(fence.leaseId);
    return accept;
  }

  return {
    add(from, fence) {
      const reporter = { fence, sessionId: from.sessionId, actor: from.actor };
      outstanding.set(fence.leaseId, { reporter, sinceMs: performance.now() });
      schedule();
    },
    take,
    restore(accept) {
      outstanding.set(accept.reporter.fence.leaseId, accept);
      schedule();
    },
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await underWay;
      for (let left = outstanding.size; left > 0; left -= limits.groupCommitItemsMax) await write();
    },
  };
}
