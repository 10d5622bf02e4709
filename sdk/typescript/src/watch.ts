import { create } from '@bufbuild/protobuf';
import { TaskService, WatchTasksRequestSchema } from '@dstc/contract/dstc/v1/task_service_pb';
import { fullJitterMs } from './backoff.ts';
import { type Caller, retryWaitMs } from './caller.ts';
import { DstcError } from './errors.ts';
import { pause } from './pause.ts';
import { isFinal, type Task, taskOf } from './task.ts';

/**
 * Each task as it is, and again after changes, until all have ended. A stream that is lost is opened again; what was
 * seen before does not come twice.
 */
export async function* watchTasks(
  caller: Caller,
  namespace: string,
  ids: readonly string[],
  options: { readonly signal?: AbortSignal | undefined } = {},
): AsyncGenerator<Task, void, undefined> {
  const { signal } = options;
  const seen = new Map<string, string>();
  // As the coordinator writes them.
  const open = new Set(ids.map((id) => id.toLowerCase()));
  let failures = 0;
  while (open.size > 0) {
    let waitMs: number | undefined;
    try {
      const request = create(WatchTasksRequestSchema, { namespace, ids: [...open] });
      for await (const message of caller.serverStream(TaskService.method.watchTasks, request, { signal })) {
        failures = 0;
        if (message.task === undefined) continue;
        const task = taskOf(message.task);
        if (isFinal(task.state)) open.delete(task.id);
        const version = versionOf(task);
        if (seen.get(task.id) === version) continue;
        seen.set(task.id, version);
        yield task;
      }
      waitMs = fullJitterMs({ failures, baseMs: 100, capMs: 5_000 });
    } catch (error) {
      waitMs = error instanceof DstcError ? retryWaitMs(error, failures) : undefined;
      if (waitMs === undefined) throw error;
    }
    failures += 1;
    if (open.size > 0) await pause(waitMs, signal);
  }
}

/** Progress changes a task without an event. */
function versionOf({ eventSequence, progress }: Task): string {
  return progress === undefined ? `${eventSequence}` : `${eventSequence} ${progress.percent} ${progress.message}`;
}
