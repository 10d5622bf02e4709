import type { Logger } from 'pino';
import { DstcError } from '../domain/errors.ts';
import { limits } from '../domain/limits.ts';
import type { Database } from '../store/database.ts';
import { isConflict } from '../store/database-error.ts';
import { removeTasklessTypes } from '../store/delete-task-type.ts';
import { deleteFullKeyBuckets } from '../store/limited-types.ts';
import { deleteExpiredReservations } from '../store/queue-reservations.ts';
import { deleteOutlivedTasks } from '../store/retention.ts';
import { analyzeOutgrownTables } from '../store/statistics.ts';
import { selectTick } from '../store/tick.ts';
import type { Circuits } from './circuits.ts';
import type { Dispatch } from './dispatch.ts';
import type { PolicyRecord } from './policy-record.ts';
import type { Sessions } from './sessions.ts';
import type { SnapshotWatch } from './snapshot-watch.ts';
import { sweepDrainedSessions, sweepExpiredSessions, sweepOverdueTasks } from './sweep.ts';
import type { Tally } from './tally.ts';
import { turnHistory } from './turn-history.ts';
import type { Wake } from './wake.ts';

export interface TickerDeps {
  readonly database: Database;
  readonly dispatch: Dispatch;
  readonly circuits: Circuits;
  readonly sessions: Sessions;
  readonly snapshots: SnapshotWatch;
  readonly policyRecord: PolicyRecord;
  readonly wake: Wake;
  readonly tally: Tally;
  readonly timers: Timers;
  readonly log: Logger;
  readonly leaseMs: number;
  /** History older than this many days is dropped. */
  readonly historyDays: number;
}

/** How late this node's last look found the deadline that had passed first; 0 when none had. */
export interface Timers {
  lateMs: number;
}

/** Everything that happens because time passes. Every node does all of it; none depends on another. */
export interface Ticker {
  /** Looks now, and not only when it is time. */
  readonly look: () => void;
  readonly stop: () => Promise<void>;
}

export function startTicker(deps: TickerDeps): Ticker {
  const outage = createOutage(deps.leaseMs);
  const { log } = deps;
  const looking = startLoop(log, 'tick', urgently(limits.pollIntervalMs), () => outage.watch(() => tick(deps, outage)));
  const loops = [
    looking,
    startLoop(log, 'renewal', urgently(deps.leaseMs / 3), () => deps.sessions.renew()),
    startLoop(log, 'delivery', urgently(250), () => deps.sessions.takeBackUndelivered()),
    startLoop(log, 'leases', urgently(1_000), () => deps.sessions.check()),
    startLoop(log, 'retention', calmly(10_000), () => deleteOutlived(deps)),
    startLoop(log, 'snapshots', calmly(limits.snapshotLookIntervalMs), () => deps.snapshots.look()),
    startLoop(log, 'policy', calmly(1_000), () => deps.policyRecord.turn()),
    startLoop(log, 'history', calmly(3_600_000), () => turnHistory(deps)),
  ];
  return {
    look: looking.hurry,
    async stop() {
      await Promise.all(loops.map((loop) => loop.stop()));
    },
  };
}

/** Whether Postgres was away a moment ago. */
interface Outage {
  readonly watch: (turn: () => Promise<void>) => Promise<void>;
  readonly isOver: () => boolean;
}

/**
 * While Postgres is away no session can be renewed. When it is back, every node first gets the time to renew its own:
 * nobody loses a lease because the database was gone. What fails for another reason keeps nobody from renewing.
 */
function createOutage(leaseMs: number): Outage {
  let overAtMs = Number.NEGATIVE_INFINITY;
  return {
    async watch(turn) {
      try {
        await turn();
      } catch (error) {
        if (isAway(error)) overAtMs = performance.now() + leaseMs / 3 + 2 * limits.pollIntervalMs;
        throw error;
      }
    },
    isOver: () => performance.now() >= overAtMs,
  };
}

function isAway(error: unknown): boolean {
  return error instanceof DstcError && error.reason === 'DATABASE_UNAVAILABLE' && !isConflict(error);
}

async function tick(deps: TickerDeps, outage: Outage): Promise<void> {
  const sessionIds = [...new Set([...deps.sessions.ids(), ...deps.dispatch.sessionIds()])];
  const found = await deps.database.run((sql) => selectTick(sql, deps.dispatch.wants(), sessionIds));
  // First, because what else is found is then looked up with the new plans.
  if (found.hasOutgrownTables) await deps.database.run(analyzeOutgrownTables);
  for (const notice of found.drains) deps.sessions.drain(notice);
  deps.dispatch.due(found.due);
  for (const notice of found.cancels) deps.sessions.get(notice.sessionId)?.cancel([notice]);
  if (found.hasEndedDependencies) deps.wake.dependencyEnded.give(undefined);
  deps.timers.lateMs = Math.max(0, found.overdueMs ?? 0);
  if (found.hasExpiredSessions && outage.isOver()) await sweepSessions(deps);
  if (found.hasDrainedSessions && outage.isOver()) while ((await sweepDrainedSessions(deps)).isFull);
  // Progress that workers reported while Postgres was away is written first.
  if (found.overdueMs !== null && found.overdueMs >= 0) await sweepDeadlines(deps, { heartbeats: outage.isOver() });
  await deps.circuits.turn(found.shut);
}

async function sweepSessions(deps: TickerDeps): Promise<void> {
  for (let isFull = true; isFull; ) {
    const swept = await sweepExpiredSessions(deps);
    deps.tally.add('leasesLost', swept.applied.length);
    isFull = swept.isFull;
  }
}

async function sweepDeadlines(deps: TickerDeps, options: { readonly heartbeats: boolean }): Promise<void> {
  for (let isFull = true; isFull; ) {
    const swept = await sweepOverdueTasks(deps, options);
    for (const passed of swept.passed) deps.tally.add(`deadlinesPassed.${passed}`);
    isFull = swept.isFull;
  }
}

async function deleteOutlived({ database, log }: TickerDeps): Promise<void> {
  while ((await database.run((sql) => deleteFullKeyBuckets(sql, limits.sweepBatchMax))) === limits.sweepBatchMax);
  while ((await database.run((sql) => deleteExpiredReservations(sql, limits.sweepBatchMax))) === limits.sweepBatchMax);
  while (
    (await database.transaction((sql) => deleteOutlivedTasks(sql, limits.sweepBatchMax))) === limits.sweepBatchMax
  );
  for (const type of await database.run(removeTasklessTypes)) log.info(type, 'the last task of a deleted type is gone');
}

/** How long a loop pauses after a turn, and after one that has failed. */
interface Pauses {
  readonly pauseMs: number;
  readonly failurePauseMs: number;
}

/** Of what workers wait for: what is due meanwhile, a renewal above all, cannot wait for its usual time. */
function urgently(pauseMs: number): Pauses {
  return { pauseMs, failurePauseMs: Math.min(pauseMs, 250) };
}

/** Of what has time until its next turn. */
function calmly(pauseMs: number): Pauses {
  return { pauseMs, failurePauseMs: pauseMs };
}

interface Loop {
  /** Has a turn begin now, or as soon as the one under way has ended. */
  readonly hurry: () => void;
  readonly stop: () => Promise<void>;
}

/** Runs one thing again and again, a pause after each end; an error is logged and the next turn comes all the same. */
function startLoop(log: Logger, name: string, { pauseMs, failurePauseMs }: Pauses, turn: () => Promise<void>): Loop {
  const stopped = Promise.withResolvers<void>();
  let isStopping = false;
  let isHurried = false;
  let timer: NodeJS.Timeout | undefined;

  async function run(): Promise<void> {
    timer = undefined;
    isHurried = false;
    let nextMs = pauseMs;
    try {
      await turn();
      if (isHurried) nextMs = 0;
    } catch (error) {
      nextMs = failurePauseMs;
      const isExpected = error instanceof DstcError;
      log[isExpected ? 'warn' : 'error']({ err: error, loop: name }, 'a turn failed; the next one follows');
    }
    if (isStopping) stopped.resolve();
    else timer = setTimeout(() => void run(), nextMs);
  }

  timer = setTimeout(() => void run(), Math.min(pauseMs, 1_000));
  return {
    hurry() {
      isHurried = true;
      if (timer === undefined || isStopping) return;
      clearTimeout(timer);
      void run();
    },
    stop() {
      isStopping = true;
      if (timer !== undefined) {
        clearTimeout(timer);
        stopped.resolve();
      }
      return stopped.promise;
    },
  };
}
