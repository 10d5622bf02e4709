import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { allocate } from '../domain/allocate.ts';
import { DstcError } from '../domain/errors.ts';
import { type Fence, parseLeaseId, parseTaskId } from '../domain/ids.ts';
import { limits } from '../domain/limits.ts';
import type { Want } from '../store/allowance.ts';
import type { LeasedTask, NewLease } from '../store/lease-tasks.ts';
import { type ClaimCandidate, type ClaimDeps, createClaim, queueOf } from './claim.ts';
import type { Delivery } from './delivery.ts';
import type { LiveSession } from './live-session.ts';
import type { TakeBacks } from './take-back.ts';
import type { Wake } from './wake.ts';

export interface DispatchDeps extends ClaimDeps {
  readonly wake: Wake;
  readonly log: Logger;
  readonly delivery: Delivery;
  readonly takeBacks: TakeBacks;
}

/** Gives due tasks to the sessions of this node that have room. */
export interface Dispatch {
  readonly join: (session: LiveSession) => void;
  readonly leave: (session: LiveSession) => void;
  /** Those that have joined of one worker session: a stream, and as many calls as it likes. */
  readonly sessionsOf: (sessionId: string) => LiveSession[];
  readonly sessionIds: () => Iterable<string>;
  /** A session has room again, for these types or for all. */
  readonly roomIn: (session: LiveSession, types?: Iterable<string>) => void;
  /** Resolves when no claim is under way or about to be tried again. */
  readonly idle: () => Promise<void>;
  /** Types that could be placed now. */
  readonly wants: () => Want[];
  /** Types that are known to have due tasks. */
  readonly due: (queues: readonly { readonly namespace: string; readonly type: string }[]) => void;
  /** Any type of the namespace may have due tasks. */
  readonly dueIn: (namespace: string) => void;
}

/** A node that holds a type for longer is in trouble: whoever does not want to wait is told that there is nothing. */
const contendedTriesMax = 20;

/**
 * One claim at a time, for all sessions and types at once, because which session takes which task depends on all tasks
 * that are due. What comes free meanwhile goes with the next one.
 */
export function createDispatch(deps: DispatchDeps): Dispatch {
  const claimTasks = createClaim(deps);
  const sessions = new Set<LiveSession>();
  const byQueue = new Map<string, Set<LiveSession>>();
  const timers = new Map<string, { readonly atMs: number; readonly timer: NodeJS.Timeout }>();
  let dirty = new Set<string>();
  let claiming = false;
  /** How often in a row types were found while another node was claiming of them: what they have is not known yet. */
  const contended = new Map<string, number>();
  const whenIdle: (() => void)[] = [];

  deps.wake.taskDue.listen(({ namespace, type, inMs }) => {
    const queue = queueOf({ namespace, type });
    // The poll sees to what is further away.
    if (inMs > limits.pollIntervalMs) return;
    if (!byQueue.has(queue)) deps.wake.workLeft.give({ namespace, type, inMs });
    else if (inMs <= 0) touchDue(queue);
    else touchLater(queue, inMs);
  });

  deps.wake.gateOpened.listen(({ namespace, type }) => {
    if (type !== undefined) {
      const queue = queueOf({ namespace, type });
      touchDue(queue);
      return;
    }
    dueIn(namespace);
  });

  function dueIn(namespace: string): void {
    for (const queue of byQueue.keys()) if (partsOf(queue).namespace === namespace) touch(queue);
  }

  /** Something is due, which others may have to take. */
  function touchDue(queue: string): void {
    if (hasRoom(queue)) {
      touch(queue);
    } else {
      forget(queue);
      deps.wake.workLeft.give({ ...partsOf(queue), inMs: 0 });
    }
  }

  /** Nobody here would take of it, so that it is not tried again. */
  function forget(queue: string): void {
    contended.delete(queue);
    tellIdle();
  }

  function hasRoom(queue: string): boolean {
    const { type } = partsOf(queue);
    for (const session of byQueue.get(queue) ?? []) if (session.freeOf(type) > 0) return true;
    return false;
  }

  function touch(queue: string): void {
    dirty.add(queue);
    if (claiming) return;
    claiming = true;
    setImmediate(() => void claimWhileDirty());
  }

  /** A task that is due before the next poll gets a timer; one a queue, for the first of them. */
  function touchLater(queue: string, inMs: number): void {
    const atMs = performance.now() + inMs;
    const earlier = timers.get(queue);
    if (earlier !== undefined && earlier.atMs <= atMs) return;
    clearTimeout(earlier?.timer);
    const timer = setTimeout(() => {
      timers.delete(queue);
      touchDue(queue);
    }, inMs + 1);
    timer.unref();
    timers.set(queue, { atMs, timer });
  }

  async function claimWhileDirty(): Promise<void> {
    try {
      while (dirty.size > 0) {
        const queues = dirty;
        dirty = new Set();
        const found = await claim(wantsOf(queues));
        for (const queue of queues) {
          if (found.has(queue) && hasRoom(queue)) contended.set(queue, (contended.get(queue) ?? 0) + 1);
          else contended.delete(queue);
        }
      }
    } catch (error) {
      // The poll finds what this claim left behind.
      const isAway = error instanceof DstcError;
      deps.log[isAway ? 'warn' : 'error']({ err: error }, 'claim failed');
      contended.clear();
    } finally {
      claiming = false;
      tellIdle();
    }
  }

  function wantsOf(queues: Iterable<string>): Want[] {
    const wants: Want[] = [];
    for (const queue of queues) {
      let room = 0;
      const { namespace, type } = partsOf(queue);
      for (const session of byQueue.get(queue) ?? []) room += session.freeOf(type);
      if (room > 0) wants.push({ namespace, type, tasksMax: Math.min(room, limits.claimBatchMax) });
    }
    return wants;
  }

  /** Whether no claim is under way, and no type is left that will be tried again in a moment. */
  function isIdle(): boolean {
    return !claiming && [...contended.values()].every((tries) => tries >= contendedTriesMax);
  }

  function tellIdle(): void {
    if (isIdle()) for (const resolve of whenIdle.splice(0)) resolve();
  }

  /** Answers with the types that another node was claiming of. */
  async function claim(wants: readonly Want[]): Promise<ReadonlySet<string>> {
    if (wants.length === 0) return new Set();
    let chosen: readonly ChosenTask[] = [];
    const { leased, nextLooks } = await claimTasks(wants, (candidates) => {
      chosen = choose(candidates, wants);
      return chosen;
    }).catch((error: unknown) => {
      // The commit may have happened all the same, and nobody would ever hear of these leases.
      for (const lease of chosen) takeBack(lease.session, fenceOfChosen(lease));
      throw error;
    });
    const probes = leased.filter((task) => task.isProbe);
    if (probes.length > 0) announceProbes(probes);
    deliver(leased, chosen);
    if (leased.length > 0) deps.wake.eventsWritten.give(undefined);
    deps.wake.tasksChanged.give({ ids: leased.map((task) => task.fence.taskId), ended: false });
    for (const look of nextLooks) {
      const queue = queueOf(look);
      if (look.inMs <= 0 && hasRoom(queue)) dirty.add(queue);
      else if (look.inMs <= 0) deps.wake.workLeft.give({ ...look, inMs: 0 });
      // The poll sees to what is further away.
      else if (look.inMs <= limits.pollIntervalMs) touchLater(queue, look.inMs);
    }
    return new Set(nextLooks.filter(({ isContended }) => isContended).map(queueOf));
  }

  /** Which session gets which task. */
  function choose(candidates: readonly ClaimCandidate[], wants: readonly Want[]): ChosenTask[] {
    const byId = new Map(candidates.map((task) => [task.id, task]));
    return allocate(candidates, offersFor(wants)).flatMap(({ taskId, taker: session }) => {
      const task = byId.get(taskId);
      if (task === undefined) return [];
      const { attempt, counted } = task;
      const { sessionId, actor } = session;
      return [{ taskId, session, attempt: attempt + 1, sessionId, leaseId: randomUUID(), actor, counted }];
    });
  }

  function offersFor(wants: readonly Want[]) {
    const queues = new Set(wants.map(queueOf));
    return [...sessions]
      .filter((session) => session.free > 0)
      .map((session) => ({
        taker: session,
        total: session.free,
        byQueue: new Map(
          [...session.types].flatMap((type) => {
            const queue = queueOf({ namespace: session.namespace, type });
            return queues.has(queue) ? [[queue, session.freeOf(type)] as const] : [];
          }),
        ),
      }));
  }

  function deliver(tasks: readonly LeasedTask[], chosen: readonly ChosenTask[]): void {
    const sessionOf = new Map(chosen.map(({ leaseId, session }) => [leaseId, session]));
    for (const [session, batch] of Map.groupBy(tasks, ({ fence }) => sessionOf.get(fence.leaseId))) {
      if (session === undefined) throw new Error('a lease was given that nobody was chosen for');
      // It may have left while the claim was under way. Another call of its session has room of its own.
      if (!sessions.delete(session)) {
        for (const task of batch) takeBack(session, task.fence);
        continue;
      }
      // Tasks often come one by one, and turns are taken from the front.
      sessions.add(session);
      for (const task of batch) session.hold(task.fence, task.type, false, checkEveryMs(task));
      deps.delivery.sent(session, batch);
      session.outlet.assign(batch);
    }
  }

  function announceProbes(probes: readonly LeasedTask[]): void {
    const taskIds = probes.map((task) => task.fence.taskId);
    deps.wake.probesLeased.give({ taskIds });
    for (const { namespace, type, fence } of probes) {
      deps.log.info({ namespace, type, task: fence.taskId, circuit: 'HALF_OPEN' }, 'a probe was leased');
    }
  }

  function takeBack({ sessionId, namespace }: LiveSession, fence: Fence): void {
    deps.takeBacks.add({ sessionId, namespace, may: () => true }, { fence, accepted: false });
  }

  return {
    join(session) {
      sessions.add(session);
      for (const type of session.types) {
        const queue = queueOf({ namespace: session.namespace, type });
        const members = byQueue.get(queue) ?? new Set();
        byQueue.set(queue, members.add(session));
        touch(queue);
      }
    },
    leave(session) {
      sessions.delete(session);
      for (const type of session.types) {
        const queue = queueOf({ namespace: session.namespace, type });
        const members = byQueue.get(queue);
        members?.delete(session);
        if (members?.size !== 0) continue;
        byQueue.delete(queue);
        forget(queue);
      }
    },
    sessionsOf: (sessionId) => [...sessions].filter((session) => session.sessionId === sessionId),
    sessionIds: () => [...sessions].map(({ sessionId }) => sessionId),
    roomIn(session, types = session.types) {
      for (const type of types) touch(queueOf({ namespace: session.namespace, type }));
    },
    idle() {
      if (isIdle()) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      whenIdle.push(resolve);
      return promise;
    },
    wants: () => wantsOf(byQueue.keys()),
    dueIn,
    due(queues) {
      for (const { namespace, type } of queues) touch(queueOf({ namespace, type }));
    },
  };
}

/** A lease that is about to be given. */
interface ChosenTask extends NewLease {
  readonly session: LiveSession;
  readonly attempt: number;
}

/** A deadline that passes may be found by another node, which cannot tell this one. */
function checkEveryMs({ runMs, heartbeatMs }: LeasedTask): number {
  const firstMs = Math.min(runMs, heartbeatMs ?? Number.POSITIVE_INFINITY) + limits.pollIntervalMs;
  return Math.min(firstMs, limits.leaseCheckMsMax);
}

function fenceOfChosen({ taskId, attempt, leaseId }: ChosenTask): Fence {
  return { taskId: parseTaskId(taskId), attempt, leaseId: parseLeaseId(leaseId) };
}

function partsOf(queue: string): { namespace: string; type: string } {
  const slash = queue.indexOf('/');
  return { namespace: queue.slice(0, slash), type: queue.slice(slash + 1) };
}
