import { limits } from '../domain/limits.ts';
import type { Database } from '../store/database.ts';
import { type LockedTask, lockLeasesOfSessions, lockOverdueTasks, type OverdueTask } from '../store/lock-tasks.ts';
import type { StoredError } from '../store/schema.ts';
import { deleteLeaselessSessions, lockDrainedSessions, lockExpiredSessions } from '../store/sessions.ts';
import { announceMoves, applyMoves, type TaskCommand } from './apply-moves.ts';
import type { Wake } from './wake.ts';

export interface SweepDeps {
  readonly database: Database;
  readonly wake: Wake;
}

const sessionsMax = 100;

/** Any node sweeps; rows that another one has locked are left to it. */
const actor = 'system:sweep';

/** Takes back the leases of sessions that have expired. Answers with how many; a full batch means that there are more. */
export async function sweepExpiredSessions(deps: SweepDeps): Promise<number> {
  const applied = await deps.database.transaction(async (sql) => {
    const sessions = await lockExpiredSessions(sql, sessionsMax);
    if (sessions.length === 0) return [];
    const leases = await lockLeasesOfSessions(sql, sessions, limits.sweepBatchMax);
    const done = await applyMoves(
      sql,
      leases.map((task) => ({ task, command: 'lose', actor, error: workerLost })),
    );
    await deleteLeaselessSessions(sql, sessions);
    return done;
  });
  announceMoves(deps.wake, applied);
  return applied.length;
}

/** Gives back, unspent, what drained workers hold although their time is over, and ends their sessions. */
export async function sweepDrainedSessions(deps: SweepDeps): Promise<number> {
  const reason = 'the worker is drained and its time is over';
  const applied = await deps.database.transaction(async (sql) => {
    const sessions = await lockDrainedSessions(sql, sessionsMax);
    if (sessions.length === 0) return [];
    const leases = await lockLeasesOfSessions(sql, sessions, limits.sweepBatchMax);
    const done = await applyMoves(
      sql,
      leases.map((task) => ({ task, command: 'release', actor, reason })),
    );
    await deleteLeaselessSessions(sql, sessions);
    return done;
  });
  announceMoves(deps.wake, applied);
  for (const { task } of applied) tellWorker(deps.wake, task, reason);
  return applied.length;
}

/** Ends what has outstayed a deadline; `heartbeats` is whether silence counts. Answers with how many. */
export async function sweepOverdueTasks(
  deps: SweepDeps,
  { heartbeats = true }: { readonly heartbeats?: boolean } = {},
): Promise<number> {
  const applied = await deps.database.transaction(async (sql) => {
    const overdue = await lockOverdueTasks(sql, { tasksMax: limits.sweepBatchMax, heartbeats });
    return applyMoves(sql, overdue.map(overdueCommand));
  });
  announceMoves(deps.wake, applied);
  for (const { task, move } of applied) {
    if (move?.effect.lease === 'drop') tellWorker(deps.wake, task, move.why);
  }
  return applied.length;
}

/** Work on a lease that was taken back is in vain. A worker of another node is told within seconds: `Sessions.check`. */
function tellWorker(wake: Wake, task: LockedTask, reason: string): void {
  const { id: taskId, attempt, leaseId, sessionId } = task;
  if (leaseId === null || sessionId === null) return;
  wake.leaseLost.give({ sessionId, taskId, attempt, leaseId, reason });
}

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
