import { type ControlCommand, isAlreadyDone, possibleCommands } from '../domain/control.ts';
import { DstcError } from '../domain/errors.ts';
import { parseTaskId } from '../domain/ids.ts';
import type { Payload } from '../domain/payload.ts';
import type { Database } from '../store/database.ts';
import { type LockedTask, lockTasks } from '../store/lock-tasks.ts';
import { type Applied, announceMoves, applyMoves } from './apply-moves.ts';
import { checkInput } from './check-input.ts';
import type { TaskTypes } from './task-types.ts';
import type { Wake } from './wake.ts';

/** A command of people, with what it was given. */
export interface Order {
  readonly command: ControlCommand;
  readonly actor: string;
  /** For the history. */
  readonly reason: string;
  /** Of a cancel: how long the worker of a running task has to stop. */
  readonly graceMs?: number;
  /** Of a redrive: how long the task waits before it is due. */
  readonly delayMs?: number;
  /** Of a redrive: takes the place of the input. */
  readonly input?: Payload | undefined;
}

/** A task that was seen before, so that it is there, and what is asked of it. */
export interface ControlRequest extends Order {
  readonly namespace: string;
  readonly id: string;
  readonly type: string;
}

/**
 * Carries out what people ask of a task. Asking for what is already so changes nothing. Rejects with `STATE_CONFLICT`
 * when the state does not allow it, and with the errors of a submission for an input.
 */
export type Control = (request: ControlRequest) => Promise<void>;

export interface ControlDeps {
  readonly database: Database;
  readonly types: TaskTypes;
  readonly wake: Wake;
  readonly payloadBytesMax: number;
}

export function createControl(deps: ControlDeps): Control {
  return async (request) => {
    const { namespace, id, type, ...order } = request;
    if (order.input !== undefined) await checkInput(deps, namespace, type, order.input);
    const applied = await deps.database.transaction(async (sql) =>
      applyMoves(
        sql,
        (await lockTasks(sql, namespace, [parseTaskId(id)])).map((task) => ({ ...order, task })),
      ),
    );
    for (const { task, move } of applied) {
      if (move === undefined && !isAlreadyDone(task, order.command)) throw stateConflict(task, order.command);
    }
    announceOrders(deps.wake, applied, order);
  };
}

/** Hints at what orders have changed; the worker of a running task is told of its cancel at once. */
export function announceOrders(wake: Wake, applied: readonly Applied[], order: Order): void {
  announceMoves(wake, applied);
  for (const { task, move } of applied) {
    if (move?.effect.event !== 'cancel_requested' || task.sessionId === null || task.leaseId === null) continue;
    wake.leaseCancelled.give({
      sessionId: task.sessionId,
      taskId: task.id,
      attempt: task.attempt,
      leaseId: task.leaseId,
      reason: order.reason,
      graceMs: order.graceMs ?? 0,
    });
  }
}

const participles = {
  cancel: 'cancelled',
  pause: 'paused',
  resume: 'resumed',
  skip: 'skipped',
  redrive: 'redriven',
  discard: 'discarded',
} as const satisfies Record<ControlCommand, string>;

function stateConflict(task: LockedTask, command: ControlCommand): DstcError {
  const possible = possibleCommands(task).join(', ');
  const state = task.discarded ? `${task.state} and discarded` : task.state;
  return new DstcError(
    'STATE_CONFLICT',
    `task ${task.id} is ${state} and cannot be ${participles[command]}; possible now: ${possible || 'nothing'}`,
    { metadata: { task_id: task.id, state: task.state, possible } },
  );
}
