import { createHash, randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { DstcError } from '../domain/errors.ts';
import { type Fence, type LeaseId, parseLeaseId, parseSessionId, parseTaskId, type SessionId } from '../domain/ids.ts';
import { limits } from '../domain/limits.ts';
import type { Database } from '../store/database.ts';
import {
  type DrainNotice,
  expireSessionOfNode,
  insertSession,
  renewSessionsOfNode,
  resumeSession,
  type SessionLease,
  selectCurrentLeases,
  selectLeasesOfSession,
} from '../store/sessions.ts';
import type { Accepts } from './accept.ts';
import type { Delivery } from './delivery.ts';
import type { Dispatch } from './dispatch.ts';
import { type HeldLease, LiveSession, type Reporting, type SessionOutlet } from './live-session.ts';
import type { Reports } from './report.ts';
import type { TakeBacks } from './take-back.ts';
import type { Wake } from './wake.ts';

/** What a worker says of itself. */
export interface WorkerInfo {
  readonly namespace: string;
  readonly actor: string;
  readonly may: (type: string) => boolean;
  readonly slots: number;
  readonly slotsByType: ReadonlyMap<string, number>;
  readonly labels: Readonly<Record<string, string>>;
  readonly sdkName: string;
  readonly sdkVersion: string;
  readonly buildVersion: string;
}

/** What proves a session. */
export interface SessionSecret {
  readonly sessionId: SessionId;
  readonly secret: string;
}

export type Verdict = 'keep' | 'drop' | 'already finished';

export interface Reconciliation {
  readonly fence: Fence;
  readonly verdict: Verdict;
}

/** The worker sessions that this node serves. */
export interface Sessions {
  /** Begins a session in the database. */
  readonly create: (info: WorkerInfo) => Promise<SessionSecret>;
  /**
   * Renews a session, begun on any node, for whoever knows its secret; rejects with `SESSION_NOT_FOUND`. Answers with
   * what an operator has said who drains it; rejects with `WORKER_DRAINED` when the time for that is over.
   */
  readonly prove: (
    who: Pick<WorkerInfo, 'namespace' | 'actor'>,
    claim: SessionSecret,
  ) => Promise<DrainNotice | undefined>;
  /** Serves a session from this node; from now on it is renewed. */
  readonly attach: (sessionId: SessionId, info: WorkerInfo, outlet: SessionOutlet) => LiveSession;
  /**
   * Brings the worker's view and the database's together: leases in both go on, leases that only the worker knows are
   * lost or were finished, and leases that only the database knows never arrived and go back unspent.
   */
  readonly reconcile: (session: LiveSession, held: readonly Fence[]) => Promise<Reconciliation[]>;
  /** The leases of a worker without a stream, as the database knows them. */
  readonly leasesOf: (sessionId: SessionId) => Promise<ReadonlyMap<string, HeldLease>>;
  /**
   * Gives back, unspent, what a worker without a stream was given and does not know of, as its answer was lost: it names
   * what it holds. From one that does not, what its node never marked as accepted, because it died before it answered.
   */
  readonly takeBackUnheard: (
    from: Omit<Reporting, 'actor'>,
    held: readonly Pick<Fence, 'leaseId'>[] | undefined,
  ) => Promise<void>;
  /** What the database says of leases that a worker without a stream names. */
  readonly verdicts: (from: Reporting, held: readonly Fence[]) => Promise<Reconciliation[]>;
  /** A lease has ended: its place is free again. */
  readonly letGo: (session: LiveSession, leaseId: LeaseId) => void;
  /** The stream is gone: the session lives on for its lease, and what it has not accepted goes back at once. */
  readonly detach: (session: LiveSession) => void;
  /** Gives back, unspent, what its principal may not work on any more, and tells the worker to stop. */
  readonly withdraw: (session: LiveSession) => void;
  /** An operator drains a worker that may be served here. */
  readonly drain: (notice: DrainNotice) => void;
  /** The worker has said goodbye: what it still holds is lost now. */
  readonly end: (session: LiveSession) => Promise<void>;
  /** Takes back what was not accepted in time. */
  readonly takeBackUndelivered: () => Promise<void>;
  /** Asks the database about leases that are held for long, and tells the workers of those that are gone. */
  readonly check: () => Promise<void>;
  /** Renews all sessions in one statement, and tells those that are gone. */
  readonly renew: () => Promise<void>;
  readonly get: (sessionId: string) => LiveSession | undefined;
  readonly ids: () => string[];
}

export interface SessionsDeps {
  readonly database: Database;
  readonly dispatch: Dispatch;
  readonly reports: Reports;
  readonly accepts: Accepts;
  readonly takeBacks: TakeBacks;
  readonly delivery: Delivery;
  readonly wake: Wake;
  readonly log: Logger;
  readonly node: string;
  readonly leaseMs: number;
}

export function createSessions(deps: SessionsDeps): Sessions {
  const live = new Map<string, LiveSession>();

  function attach(sessionId: SessionId, info: WorkerInfo, outlet: SessionOutlet): LiveSession {
    const session = new LiveSession({ ...info, sessionId, outlet });
    const earlier = live.get(sessionId);
    // A worker that comes back before its old stream was found dead.
    if (earlier !== undefined) {
      deps.dispatch.leave(earlier);
      earlier.outlet.lost();
    }
    live.set(sessionId, session);
    return session;
  }

  /** Renews a session for whoever knows its secret, and takes it over from the node that had it. */
  async function prove(
    who: Pick<WorkerInfo, 'namespace' | 'actor'>,
    claim: SessionSecret,
  ): Promise<DrainNotice | undefined> {
    const row = {
      id: claim.sessionId,
      namespace: who.namespace,
      principal: who.actor,
      node: deps.node,
      secretHash: secretHashOf(claim.secret),
    };
    const resumed = await deps.database.run((sql) => resumeSession(sql, row, deps.leaseMs));
    if (resumed === undefined) {
      throw new DstcError('SESSION_NOT_FOUND', 'the worker session has ended, or it is not yours; begin a new one', {
        metadata: { session_id: claim.sessionId },
      });
    }
    if (resumed.drain?.leftMs != null && resumed.drain.leftMs <= 0) throw workerDrained();
    return resumed.drain ?? undefined;
  }

  /** A session has a stream, or waits in calls, or both. */
  function drain(notice: DrainNotice): void {
    live.get(notice.sessionId)?.drain(notice);
    for (const session of deps.dispatch.sessionsOf(notice.sessionId)) session.drain(notice);
  }

  function remove(session: LiveSession): boolean {
    deps.dispatch.leave(session);
    return live.get(session.sessionId) === session && live.delete(session.sessionId);
  }

  function letGo(session: LiveSession, leaseId: LeaseId): void {
    const wasFull = session.free === 0;
    const type = session.letGo(leaseId);
    if (type === undefined) return;
    // While it had no place at all, tasks of every type may have gathered, and the order is one for all of them.
    deps.dispatch.roomIn(session, wasFull ? session.types : [type]);
  }

  /** A lease is gone whatever the worker does: it is told, and its place is free. */
  function lose(session: LiveSession, fence: Fence, reason: string): void {
    if (!session.holds(fence)) return;
    session.cancel([{ ...fence, sessionId: session.sessionId, reason, graceMs: 0 }]);
    letGo(session, fence.leaseId);
  }

  deps.wake.leaseLost.listen(({ sessionId, taskId, attempt, leaseId, reason }) => {
    const session = live.get(sessionId);
    const fence = { taskId: parseTaskId(taskId), attempt, leaseId: parseLeaseId(leaseId) };
    if (session !== undefined) lose(session, fence, reason);
  });
  deps.wake.sessionDrained.listen(drain);
  deps.wake.leaseCancelled.listen((notice) => live.get(notice.sessionId)?.cancel([notice]));

  return {
    async create(info) {
      const secret = randomBytes(24).toString('base64url');
      const row = { ...stored(info), node: deps.node, secretHash: secretHashOf(secret) };
      const id = await deps.database.run((sql) => insertSession(sql, row, deps.leaseMs));
      deps.wake.eventsWritten.give(undefined);
      return { sessionId: parseSessionId(id), secret };
    },

    prove,
    attach,
    drain,

    async reconcile(session, held) {
      const { verdicts, unknown } = await compare(deps, session, held);
      for (const { verdict, fence, type, accepted } of verdicts) {
        if (verdict !== 'keep' || type === undefined) continue;
        session.hold(fence, type, true);
        if (!accepted) deps.accepts.add(session, fence);
      }
      for (const lease of unknown) deps.takeBacks.add(session, lease);
      return verdicts;
    },

    async leasesOf(sessionId) {
      const rows = await deps.database.run((sql) => selectLeasesOfSession(sql, sessionId));
      return new Map(rows.map((row) => [row.leaseId, heldLease(row)]));
    },

    async takeBackUnheard(from, held) {
      const rows = await deps.database.run((sql) => selectLeasesOfSession(sql, from.sessionId));
      const named = held && new Set<string>(held.map(({ leaseId }) => leaseId));
      for (const row of rows) {
        const isUnheard = named
          ? row.ageMs > limits.deliveryMs && !named.has(row.leaseId)
          : row.ageMs > deps.leaseMs && !row.accepted;
        if (isUnheard) deps.takeBacks.add(from, heldLease(row), 'the answer that gave it was lost');
      }
    },

    verdicts: async (from, held) => (await compare(deps, from, held)).verdicts,

    letGo,

    detach(session) {
      if (!remove(session)) return;
      const undelivered = [...session.held].filter((lease) => !lease.accepted);
      for (const lease of undelivered) deps.takeBacks.add(session, lease);
    },

    withdraw(session) {
      for (const lease of [...session.held].filter(({ type }) => !session.may(type))) {
        const { fence } = lease;
        const reason = 'the permission was withdrawn';
        session.cancel([{ ...fence, sessionId: session.sessionId, reason, graceMs: 0 }]);
        deps.takeBacks.add(session, { fence, accepted: true }, reason);
        session.letGo(fence.leaseId);
      }
    },

    async end(session) {
      if (remove(session)) await deps.database.run((sql) => expireSessionOfNode(sql, deps.node, session.sessionId));
    },

    async takeBackUndelivered() {
      deps.takeBacks.tryAgain();
      for (const { session, lease } of deps.delivery.overdue()) {
        deps.log.warn(
          { task: lease.fence.taskId, session: session.sessionId },
          'an assignment was not accepted in time',
        );
        deps.takeBacks.add(session, lease);
        letGo(session, lease.fence.leaseId);
      }
    },

    async check() {
      const due = [...live.values()].flatMap((session) =>
        session.unchecked().map(({ fence, sinceMs }) => ({ session, fence, sinceMs })),
      );
      if (due.length > limits.leaseCheckBatchMax) due.sort((one, other) => one.sinceMs - other.sinceMs);
      const asked = due.slice(0, limits.leaseCheckBatchMax);
      for (const { session, fence } of asked) session.checking(fence.leaseId);
      if (asked.length === 0) return;
      const leases = asked.map(({ session, fence }) => ({ fence, sessionId: session.sessionId }));
      const current = await deps.database.run((sql) => selectCurrentLeases(sql, leases));
      for (const { session, fence } of asked) {
        if (!current.has(fence.leaseId)) lose(session, fence, 'the lease is not held any more');
      }
    },

    async renew() {
      // Counted from the last sign of life, so that a silent worker is lost one lease after it, and not later.
      const renewals = [...live.values()].map((session) => ({
        session,
        id: session.sessionId,
        lifeMs: deps.leaseMs - session.silentMs,
      }));
      if (renewals.length === 0) return;
      // A dead connection must be found soon enough for another one to renew in time.
      const limit = { callMsMax: deps.leaseMs / 4 };
      const renewed = await deps.database.run((sql) => renewSessionsOfNode(sql, deps.node, renewals), limit);
      for (const { session } of renewals) {
        if (!renewed.has(session.sessionId) && remove(session)) session.outlet.lost();
      }
    },

    get: (sessionId) => live.get(sessionId),
    ids: () => [...live.keys()],
  };
}

/** For a worker that an operator drains, and whose time is over: it must not begin anew. */
export function workerDrained(): DstcError {
  return new DstcError('WORKER_DRAINED', 'an operator has drained this worker; stop, and begin no other session');
}

interface Comparison {
  readonly verdicts: (Reconciliation & { readonly type?: string; readonly accepted?: boolean })[];
  /** Leases that the worker did not name. */
  readonly unknown: HeldLease[];
}

async function compare(deps: SessionsDeps, from: Reporting, held: readonly Fence[]): Promise<Comparison> {
  const rows = await deps.database.run((sql) => selectLeasesOfSession(sql, from.sessionId));
  const current = new Map(rows.map((row) => [row.leaseId, row]));
  const isCurrent = (fence: Fence) => {
    const row = current.get(fence.leaseId);
    return row?.taskId === fence.taskId && row.attempt === fence.attempt;
  };
  const gone = held.filter((fence) => !isCurrent(fence));
  const settled = gone.length === 0 ? new Set() : await deps.reports.settledAmong(from, gone);
  const verdicts = held.map((fence) => {
    const row = current.get(fence.leaseId);
    if (row === undefined || !isCurrent(fence)) {
      return { fence, verdict: settled.has(fence.leaseId) ? ('already finished' as const) : ('drop' as const) };
    }
    return { fence, verdict: 'keep' as const, type: row.type, accepted: row.accepted };
  });
  for (const { fence, verdict } of verdicts) if (verdict === 'keep') current.delete(fence.leaseId);
  return { verdicts, unknown: [...current.values()].map(heldLease) };
}

function heldLease(row: SessionLease): HeldLease {
  const fence = { taskId: parseTaskId(row.taskId), attempt: row.attempt, leaseId: parseLeaseId(row.leaseId) };
  return { fence, type: row.type, accepted: row.accepted };
}

/** What of a worker goes into its row. */
function stored(info: WorkerInfo) {
  return {
    namespace: info.namespace,
    principal: info.actor,
    taskTypes: Object.fromEntries(info.slotsByType),
    slots: info.slots,
    labels: info.labels,
    sdkName: info.sdkName,
    sdkVersion: info.sdkVersion,
    buildVersion: info.buildVersion,
  };
}

export function secretHashOf(secret: string): Uint8Array {
  return createHash('sha256').update(secret).digest();
}
