import type {
  Accepted,
  CancelAcknowledged,
  Failed,
  Progress,
  Released,
  Settlement,
  Succeeded,
} from '@dstc/contract/dstc/v1/worker_pb';
import { DstcError } from '../../domain/errors.ts';
import type { Fence, LeaseId } from '../../domain/ids.ts';
import type { Accepts } from '../../engine/accept.ts';
import type { HeldLease, Reporting } from '../../engine/live-session.ts';
import type { ProgressReports } from '../../engine/progress.ts';
import type { EndReport, Reports, Settlement as Settled } from '../../engine/report.ts';
import { failureKindOf } from '../convert/enums.ts';
import { fenceOf, toRefusal, toSettlement } from '../convert/lease.ts';
import { payloadOf } from '../convert/payload.ts';
import { optionalMs } from '../convert/time.ts';

/** Whoever reports: a stream, or a unary call. */
export interface ReportSource extends Reporting {
  /** What is known of a lease on this node; undefined for a session without a stream. */
  readonly lease: (leaseId: LeaseId) => HeldLease | undefined;
  /** Marks a lease as accepted; false when it was, or is not held here. */
  readonly accept: (fence: Fence) => boolean;
  /** Whether progress on a lease is worth keeping; the fence decides in the end. */
  readonly holds: (fence: Fence) => boolean;
  /** Runs a write; a stream tries again while Postgres is away, because its worker has done its part. */
  readonly write: (write: () => Promise<Settled>) => Promise<Settled>;
}

export interface ReportDeps {
  readonly reports: Reports;
  readonly accepts: Accepts;
  readonly progress: ProgressReports;
}

/** Turns the contract's reports into those of the engine. Each settlement resolves after its commit. */
export interface WorkerReports {
  readonly accepted: (from: ReportSource, message: Accepted) => void;
  readonly progress: (from: ReportSource, message: Progress) => void;
  readonly succeeded: (from: ReportSource, message: Succeeded) => Promise<Settlement>[];
  readonly failed: (from: ReportSource, message: Failed) => Promise<Settlement>[];
  readonly released: (from: ReportSource, message: Released) => Promise<Settlement>[];
  readonly cancelAcknowledged: (from: ReportSource, message: CancelAcknowledged) => Promise<Settlement>[];
}

export function createWorkerReports(deps: ReportDeps): WorkerReports {
  function accept(from: ReportSource, fence: Fence): void {
    if (from.accept(fence)) deps.accepts.add(from, fence);
  }

  /** `read` is what the report says beside its fence; it throws when that is wrong in itself. */
  const end = (from: ReportSource, fence: Fence, read: () => Omit<EndReport, 'fence'>) => {
    accept(from, fence);
    return settle(fence, async () => {
      const report = { ...read(), fence };
      return from.write(() => deps.reports.end(from, report));
    });
  };

  return {
    accepted(from, { leases }) {
      for (const lease of leases) accept(from, fenceOf(lease));
    },

    progress(from, { items }) {
      for (const { lease, progress } of items) {
        if (lease === undefined || progress === undefined) continue;
        const { percent, message, checkpoint } = progress;
        const kept = checkpoint.byteLength === 0 ? undefined : checkpoint;
        const fence = fenceOf(lease);
        if (from.holds(fence)) deps.progress.add(from, fence, { percent, message, checkpoint: kept });
      }
    },

    succeeded: (from, { items }) =>
      items.flatMap(({ lease, output }) => {
        if (lease === undefined) return [];
        const fence = fenceOf(lease);
        accept(from, fence);
        const type = from.lease(fence.leaseId)?.type;
        const write = async () => {
          const payload = payloadOf('output', output);
          return from.write(() => deps.reports.succeed(from, fence, type, payload));
        };
        return [settle(fence, write)];
      }),

    failed: (from, { items }) =>
      items.flatMap(({ lease, error, retryAfter }) => {
        if (lease === undefined || error === undefined) return [];
        return end(from, fenceOf(lease), () => ({
          command: 'fail',
          error: { code: error.code, message: error.message, kind: failureKindOf[error.kind] },
          retryAfterMs: optionalMs('retry_after', retryAfter),
        }));
      }),

    released: (from, { leases, reason }) =>
      leases.map((lease) => end(from, fenceOf(lease), () => ({ command: 'release', reason }))),

    cancelAcknowledged: (from, { leases }) =>
      leases.map((lease) => end(from, fenceOf(lease), () => ({ command: 'acknowledgeCancel' }))),
  };
}

/** A report that is wrong in itself is refused alone; any other error is the call's. */
async function settle(fence: Fence, report: () => Promise<Settled>): Promise<Settlement> {
  try {
    return toSettlement(fence, await report());
  } catch (error) {
    if (error instanceof DstcError && error.code === 'INVALID_ARGUMENT') return toRefusal(fence, error);
    throw error;
  }
}
