import type { LeaseId } from '../domain/ids.ts';
import { limits } from '../domain/limits.ts';
import type { LeasedTask } from '../store/lease-tasks.ts';
import type { HeldLease, LiveSession } from './live-session.ts';

/** Assignments that were sent and wait for their accept. */
export interface Delivery {
  readonly sent: (session: LiveSession, tasks: Iterable<LeasedTask>) => void;
  /** Takes out what was not accepted in time. */
  readonly overdue: () => { readonly session: LiveSession; readonly lease: HeldLease }[];
}

/**
 * Only durations of this node are measured. What was accepted falls out with the next look, so that few stay here
 * however long they may wait.
 */
export function createDelivery(): Delivery {
  let waiting: { readonly session: LiveSession; readonly leaseId: LeaseId; readonly untilMs: number }[] = [];
  return {
    sent(session, tasks) {
      const nowMs = performance.now();
      for (const { fence, deliveryMs } of tasks) {
        waiting.push({ session, leaseId: fence.leaseId, untilMs: nowMs + (deliveryMs ?? limits.deliveryMs) });
      }
    },
    overdue() {
      const nowMs = performance.now();
      const due: { session: LiveSession; lease: HeldLease }[] = [];
      waiting = waiting.filter(({ session, leaseId, untilMs }) => {
        const lease = session.lease(leaseId);
        if (lease === undefined || lease.accepted) return false;
        if (untilMs > nowMs) return true;
        due.push({ session, lease });
        return false;
      });
      return due;
    },
  };
}
