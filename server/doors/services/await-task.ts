import { setTimeout as delay } from 'node:timers/promises';
import { isFinal } from '../../domain/task-state.ts';
import type { Watch } from '../../engine/watch.ts';
import type { TaskRow } from '../../store/select-tasks.ts';

export interface AwaitOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly read: () => Promise<TaskRow>;
}

/** Waits until a task has ended or the time is over, and answers with the task as it then is. */
export async function awaitTask(watch: Watch, first: TaskRow, options: AwaitOptions): Promise<TaskRow> {
  if (isFinal(first.state) || options.timeoutMs <= 0) return first;
  const ended = Promise.withResolvers<void>();
  const following = watch.follow([first.id], (_, isEnded) => {
    if (isEnded) ended.resolve();
  });
  const timer = new AbortController();
  try {
    // It may have ended between the first look and the beginning of the watch.
    const second = await options.read();
    if (isFinal(second.state)) return second;
    const signal = AbortSignal.any([options.signal, timer.signal]);
    await Promise.race([ended.promise, delay(options.timeoutMs, undefined, { signal, ref: false })]);
    return await options.read();
  } finally {
    following.stop();
    timer.abort();
  }
}
