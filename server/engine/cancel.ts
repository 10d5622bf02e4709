import { DstcError } from '../domain/errors.ts';
import { parseTaskId } from '../domain/ids.ts';
import type { Database } from '../store/database.ts';
import { type LockedTask, lockTasks } from '../store/lock-tasks.ts';
import { announceMoves, applyMoves } from './apply-moves.ts';
import type { Wake } from './wake.ts';

export interface CancelRequest {
  readonly namespace: string;
  readonly id: string;
  readonly reason: string;
  /** How long the worker of a running task has to stop. */
  readonly graceMs: number;
  readonly actor: string;
}

/**
 * Cancels a waiting task, or asks the worker of a running one to stop. Asking again changes nothing. Rejects with
 * `STATE_CONFLICT` when the task has ended in another way; the task itself was seen before, so it is there.
 */
export type Cancel = (request: CancelRequest) => Promise<void>;

export function createCancel(deps: { readonly database: Database; readonly wake: Wake }): Cancel {
  return async (request) => {
    const result = await deps.database.transaction(async (sql) => {
      const [task] = await lockTasks(sql, request.namespace, [parseTaskId(request.id)]);
      if (task === undefined) return undefined;
      const [applied] = await applyMoves(sql, [
        { task, command: 'cancel', actor: request.actor, reason: request.reason, graceMs: request.graceMs },
      ]);
      return applied;
    });
    if (result === undefined) return;
    const { task, move } = result;
    if (move === undefined) return refuseUnlessCancelled(task);
    announceMoves(deps.wake, [result]);
    if (move.to === 'RUNNING' && task.sessionId !== null && task.leaseId !== null) {
      deps.wake.leaseCancelled.give({
        sessionId: task.sessionId,
        taskId: task.id,
        attempt: task.attempt,
        leaseId: task.leaseId,
        reason: request.reason,
        graceMs: request.graceMs,
      });
    }
  };
}

function refuseUnlessCancelled(task: LockedTask): void {
  if (task.state === 'CANCELLED' || task.cancelRequested) return;
  throw new DstcError('STATE_CONFLICT', `task ${task.id} is ${task.state} and cannot be cancelled any more`, {
    metadata: { task_id: task.id, state: task.state },
  });
}
