import { LRUCache } from 'lru-cache';
import type { Candidate } from '../domain/allocate.ts';
import { inTurns } from '../domain/turns.ts';
import type { Want } from '../store/allowance.ts';
import type { Database, Sql } from '../store/database.ts';
import { insertSystemEvents } from '../store/insert-system-events.ts';
import {
  type LeasedTask,
  type LimitedType,
  leasePendingTasks,
  lockDueTasks,
  type NewLease,
} from '../store/lease-tasks.ts';
import {
  type Bucket,
  type Lap,
  type LimitedQueue,
  type LimitedTask,
  lockDueLimitedTasks,
} from '../store/limited-tasks.ts';
import { adoptRunningTasks, spendKeyTokens, spendTokens } from '../store/limited-types.ts';
import type { QueueStarts } from './queue-starts.ts';

/** A due task that may be leased, as far as limits go. */
export interface ClaimCandidate extends Candidate {
  readonly namespace: string;
  readonly type: string;
  readonly attempt: number;
  readonly counted: boolean;
}

/** When a type is to be looked at again; at once when more of it may be due. */
export interface NextLook {
  readonly namespace: string;
  readonly type: string;
  readonly inMs: number;
  /** Whether another node was claiming of it. */
  readonly isContended: boolean;
}

export interface Claimed {
  readonly leased: readonly LeasedTask[];
  readonly nextLooks: readonly NextLook[];
}

/** Leases due tasks of the wanted types, those that `choose` places. */
export type Claim = (
  wants: readonly Want[],
  choose: (candidates: readonly ClaimCandidate[]) => readonly NewLease[],
) => Promise<Claimed>;

/** What one transaction saw of the types with limits. */
interface Seen {
  readonly limited: readonly LimitedType[];
  readonly queues: readonly LimitedQueue[];
  /** In turns, as far as there is room. */
  readonly offered: ReadonlyMap<LimitedQueue, readonly LimitedTask[]>;
}

const queuesMax = 10_000;
/** Looking for every single token would cost more than it brings: tokens of this time gather. */
const gatherMs = 10;

export interface ClaimDeps {
  readonly database: Database;
  readonly starts: QueueStarts;
}

/**
 * A claim is one short transaction: lock what is due, place it, lease what was placed, in two round trips. Types with
 * limits take some more statements and round trips, and only they.
 */
export function createClaim({ database, starts }: ClaimDeps): Claim {
  // Where the turns of this node are. Each node has its own: none of them passes over a key.
  const laps = new LRUCache<string, Lap>({ max: queuesMax });

  async function lockLimited(sql: Sql, limited: readonly LimitedType[]): Promise<Seen> {
    const ours = new Map(limited.filter(({ isOurs }) => isOurs).map((type) => [queueOf(type), type]));
    if (ours.size === 0) return { limited, queues: [], offered: new Map() };
    const adopting = [...ours.values()].filter(({ adopts }) => adopts);
    if (adopting.length > 0) await adoptRunningTasks(sql, adopting);
    const queues = await lockDueLimitedTasks(
      sql,
      [...ours].map(([queue, want]) => ({ ...want, lap: lapOf(queue) })),
    );
    return { limited, queues, offered: new Map(queues.map((queue) => [queue, inTurns(queue.tasks, queue.room)])) };
  }

  function lapOf(queue: string): Lap {
    return laps.get(queue) ?? lapFrom('');
  }

  /** Moves the turns on, and tells when a type with limits is to be looked at again. */
  function afterwards(
    queue: LimitedQueue,
    want: Want,
    offered: readonly LimitedTask[],
    leased: ReadonlySet<string>,
  ): number {
    const served = offered.filter(({ id }) => leased.has(id));
    const last = served.at(-1);
    const name = queueOf(queue);
    if (last !== undefined) {
      laps.set(name, lapFrom(last.limitKey));
      const wasRoomLeft = served.length < queue.room ? queue.hasMore : queue.room === want.tasksMax;
      if (wasRoomLeft) return 0;
    } else if (offered.length === 0 && queue.rest !== undefined) {
      // Nothing for now among these keys; the lap goes on, and ends where it began.
      laps.set(name, queue.rest);
      return 0;
    } else if (offered.length === 0) {
      laps.set(name, lapFrom(lapOf(name).stopKey));
    }
    const ofType = queue.bucket && { ...queue.bucket, tokens: queue.bucket.tokens - served.length };
    return Math.min(tokenMs(ofType), tokenMs(queue.keyBucket));
  }

  return async (wants, choose) => {
    const { leased, due, exhausted, seen } = await database.shortTransaction(async (sql, { first, last }) => {
      const { due, limited, exhausted } = await first(() => lockDueTasks(sql, wants, starts.of(wants)));
      const seen = await lockLimited(sql, limited);
      const plain = due.map((task) => ({ ...task, queue: queueOf(task), counted: false }));
      const chosen = choose([...plain, ...candidatesOf(seen)]);
      if (chosen.length === 0) return { leased: [], due, exhausted, seen };
      const lease = () => leasePendingTasks(sql, chosen);
      // Neither tokens nor probes, as nearly always.
      const isAll = seen.offered.size === 0 && !due.some(({ isProbe }) => isProbe);
      if (isAll) return { leased: await last(lease), due, exhausted, seen };
      const leased = await lease();
      await spend(sql, seen, leased);
      await tellHalfOpenings(sql, leased);
      return { leased, due, exhausted, seen };
    });
    starts.found({ due, exhausted });
    const ids = new Set<string>(leased.map((task) => task.fence.taskId));
    const nextLooks: NextLook[] = [];
    for (const want of wants) {
      // A full answer means that there may be more.
      const count = due.filter((task) => task.namespace === want.namespace && task.type === want.type).length;
      if (count === want.tasksMax && leased.length > 0) nextLooks.push({ ...want, inMs: 0, isContended: false });
    }
    const wanted = new Map(seen.limited.map((want) => [queueOf(want), want]));
    for (const [queue, offered] of seen.offered) {
      const want = wanted.get(queueOf(queue));
      const inMs = want === undefined ? Number.POSITIVE_INFINITY : afterwards(queue, want, offered, ids);
      if (Number.isFinite(inMs))
        nextLooks.push({ namespace: queue.namespace, type: queue.type, inMs, isContended: false });
    }
    // Another node is at it, which takes a few milliseconds.
    for (const { namespace, type, isOurs } of seen.limited) {
      if (!isOurs) nextLooks.push({ namespace, type, inMs: 2 + Math.random() * 6, isContended: true });
    }
    return { leased, nextLooks };
  };
}

function candidatesOf({ offered }: Seen): ClaimCandidate[] {
  return [...offered].flatMap(([queue, tasks]) =>
    tasks.map((task, turn) => ({ ...task, turn, queue: queueOf(queue), counted: queue.isCounted })),
  );
}

/** Takes the tokens of what was leased, in the same transaction. */
async function spend(sql: Sql, { offered }: Seen, leased: readonly LeasedTask[]): Promise<void> {
  const ids = new Set<string>(leased.map((task) => task.fence.taskId));
  const byType: { namespace: string; type: string; tasks: number }[] = [];
  const byKey: { namespace: string; type: string; limitKey: string; tasks: number }[] = [];
  for (const [{ namespace, type, bucket, hasKeyRate }, tasks] of offered) {
    const served = tasks.filter(({ id }) => ids.has(id));
    if (bucket !== undefined && served.length > 0) byType.push({ namespace, type, tasks: served.length });
    if (!hasKeyRate) continue;
    for (const [limitKey, ofKey] of Map.groupBy(served, (task) => task.limitKey)) {
      byKey.push({ namespace, type, limitKey, tasks: ofKey.length });
    }
  }
  if (byType.length > 0) await spendTokens(sql, byType);
  if (byKey.length > 0) await spendKeyTokens(sql, byKey);
}

/**
 * Of the circuits of which probes were leased, those that were not half open before; the lease has locked them. Circuits
 * have trouble rarely, so that mostly there is nothing to look up.
 */
async function tellHalfOpenings(sql: Sql, leased: readonly LeasedTask[]): Promise<void> {
  const probed = new Map(leased.filter(({ isProbe }) => isProbe).map((task) => [queueOf(task), task]));
  await insertSystemEvents(
    sql,
    [...probed.values()].map(({ namespace, type: subject }) => ({
      ...{ kind: 'circuit.half_opened', namespace, subject },
      ...{ actor: 'system:circuit', data: { reason: 'probes are leased' } },
    })),
    { repeats: false },
  );
}

/** How long until a bucket that lacks a token is worth another look. */
function tokenMs(bucket: Bucket | undefined): number {
  if (bucket === undefined || bucket.tokens >= 1) return Number.POSITIVE_INFINITY;
  const { tokens, perS, burst } = bucket;
  return Math.max(((1 - tokens) / perS) * 1_000, Math.min(gatherMs, ((burst - tokens) / perS) * 1_000));
}

function lapFrom(key: string): Lap {
  return { afterKey: key, hasTurned: false, stopKey: key };
}

/** Neither part can contain a slash. */
export function queueOf({ namespace, type }: { readonly namespace: string; readonly type: string }): string {
  return `${namespace}/${type}`;
}
