import { decide, type TaskFacts } from './decide.ts';
import { type Command, moves } from './lifecycle.ts';
import type { TaskState } from './task-state.ts';

/** What people ask of tasks. */
export const controlCommands = [
  'cancel',
  'pause',
  'resume',
  'skip',
  'redrive',
  'discard',
] as const satisfies readonly Command[];
export type ControlCommand = (typeof controlCommands)[number];

/** Whether a task is already what a command would make of it, so that a repeat is harmless. */
export function isAlreadyDone(task: TaskFacts, command: ControlCommand): boolean {
  switch (command) {
    case 'cancel':
      return task.state === 'CANCELLED' || task.cancelRequested;
    case 'pause':
      return task.paused;
    case 'resume':
      return !task.paused && decide(task, 'pause') !== undefined;
    case 'skip':
      return task.state === 'SKIPPED';
    case 'discard':
      return task.discarded;
    case 'redrive':
      // A task that is PENDING may never have been a dead letter.
      return false;
  }
}

/** The states from which a command leads anywhere. */
export function statesFor(command: ControlCommand): TaskState[] {
  return [...new Set(moves.filter((move) => move.command === command).map((move) => move.from))];
}

/** The commands that would change a task as it is. */
export function possibleCommands(task: TaskFacts): ControlCommand[] {
  return controlCommands.filter((command) => decide(task, command) !== undefined);
}
