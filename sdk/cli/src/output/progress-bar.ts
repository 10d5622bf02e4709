import type { Task, TaskState } from '@dstc/sdk';
import { isFinal } from '@dstc/sdk';
import { Presets, SingleBar } from 'cli-progress';
import type { Screen } from './screen.ts';

/** Shows on stderr how far something has come, if a person watches; otherwise does nothing. */
export interface ProgressBar {
  readonly update: (done: number, note?: string) => void;
  readonly stop: () => void;
}

export function startProgressBar(screen: Screen, total: number, what: string): ProgressBar {
  if (!screen.isWatched || total < 2) return { update: () => undefined, stop: () => undefined };
  const bar = new SingleBar(
    {
      format: `${what} {bar} {value}/{total} {note}`,
      stream: process.stderr,
      clearOnComplete: true,
      hideCursor: true,
      barsize: 30,
    },
    Presets.shades_classic,
  );
  bar.start(total, 0, { note: '' });
  return { update: (done, note = '') => bar.update(done, { note }), stop: () => bar.stop() };
}

/** How many of the tasks have ended, and how. */
export function tally(tasks: Iterable<Pick<Task, 'state'>>): { readonly ended: number; readonly note: string } {
  const counts = new Map<TaskState, number>();
  let ended = 0;
  for (const { state } of tasks) {
    counts.set(state, (counts.get(state) ?? 0) + 1);
    if (isFinal(state)) ended += 1;
  }
  const note = [...counts].map(([state, count]) => `${count} ${state.toLowerCase()}`).join(', ');
  return { ended, note };
}
