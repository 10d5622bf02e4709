import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { AwaitTaskRequestSchema, TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import type { Caller } from './caller.ts';
import { DstcError, TaskCancelledError, TaskFailedError } from './errors.ts';
import { isFinal, type Task, taskOf } from './task.ts';

export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
  /** Left out: as long as it takes. */
  readonly timeoutMs?: number | undefined;
}

const pollMs = 20_000;
/** For the way there and back, and for a coordinator that comes back meanwhile. */
const slackMs = 30_000;

/** Waits until a task has ended, through restarts of the coordinator. */
export async function awaitEnd(
  caller: Caller,
  namespace: string,
  id: string,
  options: WaitOptions = {},
): Promise<Task> {
  const { signal, timeoutMs = Number.POSITIVE_INFINITY } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const leftMs = Math.max(0, deadline - performance.now());
    const waitMs = Math.ceil(Math.min(leftMs, pollMs));
    const request = create(AwaitTaskRequestSchema, { namespace, id, timeout: durationFromMs(waitMs) });
    const callMs = Math.min(leftMs, pollMs) + slackMs;
    const { task, finished } = await caller.unary(TaskService.method.awaitTask, request, { signal, timeoutMs: callMs });
    const current = task && taskOf(task);
    if (current !== undefined && (finished || isFinal(current.state))) return current;
    if (performance.now() >= deadline) throw notEnded(id, timeoutMs, current);
  }
}

/** What a finished task gives to those who wait for it. A skipped task counts as a success without an output. */
export function outputOf(task: Task): unknown {
  if (task.state === 'FAILED') throw new TaskFailedError(task);
  if (task.state === 'CANCELLED') throw new TaskCancelledError(task);
  return task.output;
}

function notEnded(id: string, timeoutMs: number, task: Task | undefined): DstcError {
  return new DstcError({
    reason: 'DEADLINE_EXCEEDED',
    code: 'DEADLINE_EXCEEDED',
    message: `task ${id} has not ended within ${timeoutMs} ms; it is ${task?.state ?? 'unknown'}`,
    metadata: { task_id: id },
  });
}
