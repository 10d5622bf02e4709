import type { Task } from '@dstc/sdk';
import { Exit } from '../exit.ts';
import { isSuccess } from '../wait.ts';
import { type OutputFormat, printMany, printOne } from './print.ts';
import type { Screen } from './screen.ts';
import { tasksText, taskText } from './task-text.ts';

/** Prints tasks that were waited for, and fails when one of them did not succeed. */
export async function printEnded(screen: Screen, format: OutputFormat, tasks: readonly Task[]): Promise<void> {
  const [only] = tasks;
  const now = new Date();
  if (tasks.length === 1 && only !== undefined) {
    printOne(screen, format, only, (task) => taskText(screen.colors, task, now));
  } else {
    await printMany(screen, format, tasks, (all) => tasksText(screen.colors, all, now));
  }
  if (!tasks.every(isSuccess)) throw new Exit(1);
}
