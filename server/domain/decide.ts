import { type Command, type Condition, type Move, moves } from './lifecycle.ts';
import { limits } from './limits.ts';
import type { TaskState } from './task-state.ts';

/** What the table needs to know of a task to choose a move. */
export interface TaskFacts {
  readonly state: TaskState;
  readonly accepted: boolean;
  readonly cancelRequested: boolean;
  readonly attempt: number;
  readonly attemptsMax: number;
  readonly crashes: number;
  readonly paused: boolean;
  /** Of a failed task: whether nobody is to look at it any more. */
  readonly discarded: boolean;
}

/** What the table needs to know of a command. */
export interface CommandFacts {
  /** Of a failure: whether its kind and code allow another attempt. */
  readonly retryable: boolean;
  /** Of a redrive: whether the task depends on one that has not ended as its policy allows. */
  readonly waits?: boolean;
}

/** The move that a command makes, or undefined when the state does not allow it. */
export function decide(task: TaskFacts, command: Command, facts: CommandFacts = { retryable: true }): Move | undefined {
  return moves.find(
    (move) =>
      move.from === task.state &&
      move.command === command &&
      move.when.every((condition) => holds(condition, task, facts)),
  );
}

function holds(condition: Condition, task: TaskFacts, facts: CommandFacts): boolean {
  switch (condition) {
    case 'cancel requested':
      return task.cancelRequested;
    case 'no cancel requested':
      return !task.cancelRequested;
    case 'not accepted':
      return !task.accepted;
    case 'attempts left':
      return facts.retryable && task.attempt < task.attemptsMax;
    case 'crashes left':
      return task.crashes + 1 < limits.crashesMax;
    case 'paused':
      return task.paused;
    case 'not paused':
      return !task.paused;
    case 'not discarded':
      return !task.discarded;
    case 'dependencies unmet':
      return facts.waits === true;
    case 'otherwise':
      return true;
  }
}
