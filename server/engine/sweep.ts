import { limits } from '../domain/limits.ts';
import type { Database, Sql } from '../store/database.ts';
import { insertSystemEvents } from '../store/insert-system-events.ts';
import { type LockedTask, lockLeasesOfSessions, lockOverdueTasks, type OverdueTask } from '../store/lock-tasks.ts';
import type { StoredError } from '../store/schema.ts';
import {
  deleteLeaselessSessions,
  type LockedSession,
  lockDrainedSessions,
  lockExpiredSessions,
} from '../store/sessions.ts';
import { type Applied, announceMoves, applyMoves, type TaskCommand } from './apply-moves.ts';
import type { Wake } from './wake.ts';

export interface SweepDeps {
  readonly database: Database;
  readonly wake: Wake;
}

const sessionsMax = 100;

/** Any node sweeps; rows that another one has locked are left to it. */
const actor = 'system:sweep';

/** What a sweep did; `isFull` when there may be more. */
export interface Swept {
  readonly applied: readonly Applied[];
  readonly isFull: boolean;
}

interface SweptSessions extends Swept {
  /** How many sessions have ended. */
  readonly ended: number;
}

/** Takes back the leases of sessions that have expired. */
export async function sweepExpiredSessions(deps: SweepDeps): Promise<Swept> {
  const swept = await deps.database.transaction(async (sql) =>
    endSessions(
      sql,
      await lockExpiredSessions(sql, sessionsMax),
      { command: 'lose', error: workerLost },
      workerLost.message,
    ),
  );
  announce(deps.wake, swept);
  return swept;
}

function announce(wake: Wake, { applied, ended }: SweptSessions): void {
  announceMoves(wake, applied);
  if (ended > 0) wake.eventsWritten.give(undefined);
}

/** Takes what sessions hold, and forgets those that hold nothing then; only that is the end of a session. */
async function endSessions(
  sql: Sql,
  sessions: readonly LockedSession[],
  how: Pick<TaskCommand, 'command' | 'error' | 'reason'>,
  reason: string,
): Promise<SweptSessions> {
  if (sessions.length === 0) return { applied: [], ended: 0, isFull: false };
  const ids = sessions.map(({ id }) => id);
  const leases = await lockLeasesOfSessions(sql, ids, limits.sweepBatchMax);
  const applied = await applyMoves(
    sql,
    leases.map((task) => ({ ...how, task, actor })),
  );
  const deleted = await deleteLeaselessSessions(sql, ids);
  const ended = sessions.filter(({ id }) => deleted.has(id));
  await insertSystemEvents(
    sql,
    ended.map(({ id: subject, namespace, principal, isClosed }) => ({
      ...{ kind: 'worker_session.ended', subject, namespace },
      ...(isClosed ? { actor: principal, data: { reason: closedByWorker } } : { actor, data: { reason } }),
    })),
  );
  // What somebody else has locked stays for the next turn.
  const isFull = leases.length === limits.sweepBatchMax || deleted.size === sessionsMax;
  return { applied, ended: ended.length, isFull };
}

/** Gives back, unspent, what drained workers hold although their time is over, and ends their sessions. */
export async function sweepDrainedSessions(deps: SweepDeps): Promise<Swept> {
  const reason = 'the worker is drained and its time is over';
  const swept = await deps.database.transaction(async (sql) =>
    endSessions(sql, await lockDrainedSessions(sql, sessionsMax), { command: 'release', reason }, reason),
  );
  announce(deps.wake, swept);
  for (const { task } of swept.applied) tellWorker(deps.wake, task, reason);
  return swept;
}

/** What a sweep of deadlines did, with which of them had passed. */
export interface SweptOverdue extends Swept {
  readonly passed: readonly OverdueTask['passed'][];
}

/** Ends what has outstayed a deadline; `heartbeats` is whether silence counts. */
export async function sweepOverdueTasks(
  deps: SweepDeps,
  { heartbeats = true }: { readonly heartbeats?: boolean } = {},
): Promise<SweptOverdue> {
  const { overdue, applied } = await deps.database.transaction(async (sql) => {
    const locked = await lockOverdueTasks(sql, { tasksMax: limits.sweepBatchMax, heartbeats });
    return { overdue: locked, applied: await applyMoves(sql, locked.map(overdueCommand)) };
  });
  announceMoves(deps.wake, applied);
  for (const { task, move } of applied) {
    if (move?.effect.lease === 'drop') tellWorker(deps.wake, task, move.why);
  }
  return { applied, passed: overdue.map(({ passed }) => passed), isFull: overdue.length === limits.sweepBatchMax };
}

/** Work on a lease that was taken back is in vain. A worker of another node is told within seconds: `Sessions.check`. */
function tellWorker(wake: Wake, task: LockedTask, reason: string): void {
  const { id: taskId, attempt, leaseId, sessionId } = task;
  if (leaseId === null || sessionId === null) return;
  wake.leaseLost.give({ sessionId, taskId, attempt, leaseId, reason });
}

const closedByWorker = 'the worker has ended it';

const workerLost: StoredError = {
  code: 'WORKER_LOST',
  message: 'the worker gave no sign of life and its session expired',
  kind: 'TRANSIENT',
};

function overdueCommand(task: OverdueTask): TaskCommand {
  switch (task.passed) {
    case 'start':
      return {
        task,
        actor,
        command: 'expireStart',
        error: deadline('START', 'no worker took it before its start deadline'),
      };
    case 'run':
      return {
        task,
        actor,
        command: 'expireRun',
        error: deadline('RUN', 'the attempt took longer than its run deadline'),
      };
    case 'heartbeat':
      return {
        task,
        actor,
        command: 'expireRun',
        error: deadline('HEARTBEAT', 'the attempt reported no progress before its heartbeat deadline'),
      };
    case 'total':
      return {
        task,
        actor,
        command: 'expireTotal',
        error: deadline('TOTAL', 'it did not end before its total deadline'),
      };
    case 'cancel':
      return { task, actor, command: 'revoke', reason: 'the worker did not stop within the grace' };
  }
}

function deadline(which: string, message: string): StoredError {
  return { code: `${which}_DEADLINE_EXCEEDED`, message, kind: 'TRANSIENT' };
}
