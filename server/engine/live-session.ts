import { type Fence, isSameFence, type LeaseId, type SessionId } from '../domain/ids.ts';
import { limits } from '../domain/limits.ts';
import type { LeasedTask } from '../store/lease-tasks.ts';
import type { CancelNotice, DrainNotice } from '../store/sessions.ts';

/** Where a session's news go: a stream, or a call that waits. None of it may throw. */
export interface SessionOutlet {
  readonly assign: (tasks: readonly LeasedTask[]) => void;
  readonly cancel: (notices: readonly CancelNotice[]) => void;
  /** An operator drains the worker: it is to finish, and to go. */
  readonly stop: (notice: DrainNotice) => void;
  /** The session is gone in the database: whoever speaks for it must stop. */
  readonly lost: () => void;
  /** Whether so much is on its way to the worker that more would only pile up. */
  readonly isCongested: () => boolean;
}

/** Who reports, for fences and for the history. */
export interface Reporting {
  readonly sessionId: SessionId;
  readonly namespace: string;
  readonly actor: string;
  /** Whether its principal may work on a type, by the policy of now. */
  readonly may: (type: string) => boolean;
}

export interface LiveSessionOptions extends Reporting {
  readonly outlet: SessionOutlet;
  readonly slots: number;
  readonly slotsByType: ReadonlyMap<string, number>;
}

export interface HeldLease {
  readonly fence: Fence;
  readonly type: string;
  readonly accepted: boolean;
}

interface Lease {
  readonly fence: Fence;
  readonly type: string;
  accepted: boolean;
  cancelTold: boolean;
  /** When the database is to be asked whether it agrees, and how often. */
  checkMs: number;
  readonly checkEveryMs: number;
}

/** A worker session that this node serves: its credits and the leases it holds. */
export class LiveSession implements Reporting {
  readonly sessionId: SessionId;
  readonly namespace: string;
  readonly actor: string;
  readonly may: (type: string) => boolean;
  readonly outlet: SessionOutlet;
  readonly #slots: number;
  readonly #slotsByType: ReadonlyMap<string, number>;
  readonly #creditsByType: Map<string, number>;
  readonly #held = new Map<LeaseId, Lease>();
  readonly #heldByType = new Map<string, number>();
  #credits: number;
  #drain: DrainNotice | undefined;
  #seenMs = performance.now();

  constructor(options: LiveSessionOptions) {
    this.sessionId = options.sessionId;
    this.namespace = options.namespace;
    this.actor = options.actor;
    this.may = options.may;
    this.outlet = options.outlet;
    this.#slots = options.slots;
    this.#slotsByType = options.slotsByType;
    this.#credits = options.slots;
    this.#creditsByType = new Map(options.slotsByType);
  }

  /** The worker has given a sign of life. */
  seen(): void {
    this.#seenMs = performance.now();
  }

  /** How long the worker has been silent. */
  get silentMs(): number {
    return performance.now() - this.#seenMs;
  }

  get types(): Iterable<string> {
    return this.#slotsByType.keys();
  }

  get held(): Iterable<HeldLease> {
    return this.#held.values();
  }

  get heldCount(): number {
    return this.#held.size;
  }

  /** Sets how many leases it wants to hold; more than its slots are its slots, and unknown types are left out. */
  demand(credits: number, byType: Iterable<readonly [string, number]>): void {
    this.#credits = Math.min(credits, this.#slots);
    for (const [type, wanted] of byType) {
      const slots = this.#slotsByType.get(type);
      if (slots !== undefined) this.#creditsByType.set(type, Math.min(wanted, slots));
    }
  }

  /** Leases it may still take, over all types. */
  get free(): number {
    return this.isDrained || this.outlet.isCongested() ? 0 : Math.max(0, this.#credits - this.#held.size);
  }

  /** Leases it may still take of one type; none of a type that its principal may not work on. */
  freeOf(type: string): number {
    const free = (this.#creditsByType.get(type) ?? 0) - (this.#heldByType.get(type) ?? 0);
    return free > 0 && this.may(type) ? Math.min(free, this.free) : 0;
  }

  /** `checkEveryMs` is how often the database is asked whether it still is: where others may take it back, no later. */
  hold(fence: Fence, type: string, accepted: boolean, checkEveryMs: number = limits.leaseCheckMsMax): void {
    if (this.#held.has(fence.leaseId)) return;
    const checkMs = performance.now() + checkEveryMs;
    this.#held.set(fence.leaseId, { fence, type, accepted, cancelTold: false, checkMs, checkEveryMs });
    this.#heldByType.set(type, (this.#heldByType.get(type) ?? 0) + 1);
  }

  lease(leaseId: LeaseId): HeldLease | undefined {
    return this.#held.get(leaseId);
  }

  /** Whether it is exactly this lease that is held. */
  holds(fence: Fence): boolean {
    const lease = this.#held.get(fence.leaseId);
    return lease !== undefined && isSameFence(lease.fence, fence);
  }

  /** Leases that the database is to be asked about again, and since when. */
  unchecked(): { readonly fence: Fence; readonly sinceMs: number }[] {
    const nowMs = performance.now();
    const found: { fence: Fence; sinceMs: number }[] = [];
    for (const { fence, checkMs } of this.#held.values()) if (checkMs <= nowMs) found.push({ fence, sinceMs: checkMs });
    return found;
  }

  /** The database is being asked about a lease. */
  checking(leaseId: LeaseId): void {
    const lease = this.#held.get(leaseId);
    if (lease !== undefined) lease.checkMs = performance.now() + lease.checkEveryMs;
  }

  /** The worker has it; false when it had said so before or does not hold it. */
  accept(fence: Fence): boolean {
    const lease = this.#held.get(fence.leaseId);
    if (lease === undefined || lease.accepted || !isSameFence(lease.fence, fence)) return false;
    lease.accepted = true;
    return true;
  }

  /** Tells the worker to stop, once for each lease. */
  cancel(notices: readonly CancelNotice[]): void {
    const news = notices.filter((notice) => {
      const lease = this.#held.get(notice.leaseId as LeaseId);
      if (lease === undefined || lease.cancelTold) return false;
      lease.cancelTold = true;
      return true;
    });
    if (news.length > 0) this.outlet.cancel(news);
  }

  /** Whether an operator drains it. */
  get isDrained(): boolean {
    return this.#drain !== undefined;
  }

  /** Tells the worker to finish and go, each time that an operator says so. It gets no leases from now on. */
  drain(notice: DrainNotice): void {
    if (this.#drain?.time === notice.time) return;
    this.#drain = notice;
    this.outlet.stop(notice);
  }

  /** Forgets a lease; answers with its type when it was held. */
  letGo(leaseId: LeaseId): string | undefined {
    const lease = this.#held.get(leaseId);
    if (lease === undefined) return undefined;
    this.#held.delete(leaseId);
    this.#heldByType.set(lease.type, (this.#heldByType.get(lease.type) ?? 1) - 1);
    return lease.type;
  }
}
