import type { WaitOptions } from './await-result.ts';
import type { Task } from './task.ts';

/** A task that was submitted. */
export interface TaskHandle {
  readonly id: string;
  /** The task as it was when it was submitted; `client.get(id)` reads it anew. */
  readonly task: Task;
  /** Whether the idempotency key had already made it. */
  readonly alreadyExisted: boolean;
  /** The output; throws TaskFailedError or TaskCancelledError. Waits as long as it takes unless `timeoutMs` is given. */
  result(options?: WaitOptions): Promise<unknown>;
  /** The task as it is, and again after changes, until it has ended. */
  watch(options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<Task>;
  /** Asks for its end. A worker that runs it is told to stop. */
  cancel(reason?: string): Promise<Task>;
}

/** What a handle asks of its client. */
interface TaskCalls {
  awaitResult(id: string, options?: WaitOptions): Promise<unknown>;
  watch(ids: readonly string[], options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<Task>;
  cancel(id: string, options?: { readonly reason?: string | undefined }): Promise<Task>;
}

export function taskHandle(client: TaskCalls, task: Task, alreadyExisted: boolean): TaskHandle {
  const { id } = task;
  return {
    id,
    task,
    alreadyExisted,
    result: (options) => client.awaitResult(id, options),
    watch: (options) => client.watch([id], options),
    cancel: (reason) => client.cancel(id, { reason }),
  };
}
