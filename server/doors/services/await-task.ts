import { setTimeout as delay } from 'node:timers/promises';
import { isFinal } from '../../domain/task-state.ts';
import type { Watch } from '../../engine/watch.ts';
import type { TaskRow } from '../../store/select-tasks.ts';

export interface AwaitOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Aborts when the node shuts down, which ends the time. */
  readonly draining: AbortSignal;
  readonly read: () => Promise<TaskRow>;
}

/** Waits until a task has ended or the time is over, and answers with the task as it then is. */
export async function awaitTask(watch: Watch, first: TaskRow, options: AwaitOptions): Promise<TaskRow> {
  if (isFinal(first.state) || options.timeoutMs <= 0) return first;
  let ended = Promise.withResolvers<void>();
  const following = watch.follow([first.id], (_, isEnded) => {
    if (isEnded) ended.resolve();
  });
  const timer = new AbortController();
  const drained = Promise.withResolvers<true>();
  const onDrain = () => drained.resolve(true);
  options.draining.addEventListener('abort', onDrain);
  if (options.draining.aborted) onDrain();
  try {
    const signal = AbortSignal.any([options.signal, timer.signal]);
    const isOver = Promise.race([delay(options.timeoutMs, true, { signal, ref: false }), drained.promise]);
    isOver.catch(() => undefined);
    for (;;) {
      // It may have ended between the first look and the beginning of the watch, and what is said of other nodes' tasks
      // need not be true.
      ended = Promise.withResolvers<void>();
      const task = await options.read();
      if (isFinal(task.state) || (await Promise.race([ended.promise, isOver])) === true) {
        return isFinal(task.state) ? task : await options.read();
      }
    }
  } finally {
    following.stop();
    timer.abort();
    options.draining.removeEventListener('abort', onDrain);
  }
}
