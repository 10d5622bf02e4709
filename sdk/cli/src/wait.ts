import type { Client, Task } from '@dstc/sdk';
import { startProgressBar, tally } from './output/progress-bar.ts';
import type { Screen } from './output/screen.ts';

export interface WaitFor {
  readonly ids: readonly string[];
  /** Undefined waits for as long as it takes. */
  readonly timeoutMs: number | undefined;
  /** Whether the tasks are wanted with their payloads, which costs a call for each. */
  readonly withPayloads: boolean;
  readonly signal: AbortSignal;
}

/** What one watch stream takes. */
const watchMax = 1_000;

/** The tasks in the order of their ids once all have ended, with a progress bar meanwhile. */
export async function waitForEnd(
  { client, screen }: { client: Client; screen: Screen },
  wait: WaitFor,
): Promise<Task[]> {
  const { ids, timeoutMs, withPayloads } = wait;
  const timeout = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  const signal = timeout === undefined ? wait.signal : AbortSignal.any([wait.signal, timeout]);
  const tasks = new Map<string, Task>();
  const bar = startProgressBar(screen, ids.length, 'waiting');
  try {
    for (const some of chunks([...new Set(ids)], watchMax)) {
      for await (const task of client.watch(some, { signal })) {
        tasks.set(task.id, task);
        const { ended, note } = tally(tasks.values());
        bar.update(ended, note);
      }
    }
  } catch (error) {
    if (timeout?.aborted) throw notEnded(ids, tasks, timeoutMs);
    throw error;
  } finally {
    bar.stop();
  }
  const ended: Task[] = [];
  for (const id of ids) {
    const task = withPayloads ? await client.get(id) : tasks.get(id.toLowerCase());
    if (task !== undefined) ended.push(task);
  }
  return ended;
}

/** Whether a task ended the way its producer hoped; a skipped one counts as done. */
export function isSuccess({ state }: Pick<Task, 'state'>): boolean {
  return state === 'SUCCEEDED' || state === 'SKIPPED';
}

function notEnded(ids: readonly string[], tasks: ReadonlyMap<string, Task>, timeoutMs: number | undefined): Error {
  const { ended } = tally(tasks.values());
  return new Error(`${ids.length - ended} of ${ids.length} tasks have not ended within ${timeoutMs} ms; they go on`);
}

export function* chunks<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}
