import type { LeaseId } from '../domain/ids.ts';
import { limits } from '../domain/limits.ts';
import type { LiveSession } from './live-session.ts';

/** Assignments that were sent and wait for their accept. */
export interface Delivery {
  readonly sent: (session: LiveSession, leaseIds: Iterable<LeaseId>) => void;
  /** Takes out what was not accepted in time. */
  readonly overdue: () => { readonly session: LiveSession; readonly leaseId: LeaseId }[];
}

/** All wait equally long, so the oldest stands first; only durations of this node are measured. */
export function createDelivery(): Delivery {
  let waiting: { readonly session: LiveSession; readonly leaseId: LeaseId; readonly sinceMs: number }[] = [];
  return {
    sent(session, leaseIds) {
      const sinceMs = performance.now();
      for (const leaseId of leaseIds) waiting.push({ session, leaseId, sinceMs });
    },
    overdue() {
      const before = performance.now() - limits.deliveryMs;
      const index = waiting.findIndex(({ sinceMs }) => sinceMs > before);
      const due = index === -1 ? waiting : waiting.slice(0, index);
      if (due.length > 0) waiting = waiting.slice(due.length);
      return due.filter(({ session, leaseId }) => session.lease(leaseId)?.accepted === false);
    },
  };
}
