import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { Task as ContractTask } from '@dstc/contract/dstc/v1/task_pb';
import {
  CancelTaskRequestSchema,
  DiscardTaskRequestSchema,
  PauseTaskRequestSchema,
  RedriveTaskRequestSchema,
  ResumeTaskRequestSchema,
  SkipTaskRequestSchema,
  TaskService,
} from '@dstc/contract/dstc/v1/task_service_pb';
import type { Caller } from './caller.ts';
import { encodePayload } from './payload.ts';
import { presentTask, type Task } from './task.ts';

export interface ControlOptions {
  /** For the history. */
  readonly reason?: string | undefined;
}

export interface CancelOptions extends ControlOptions {
  /** How long the worker of a running task has to stop. */
  readonly graceMs?: number | undefined;
}

export interface RedriveOptions extends ControlOptions {
  /** Not started before this much time has passed. */
  readonly delayMs?: number | undefined;
  /** Takes the place of the input: a JSON value or a BinaryPayload. */
  readonly input?: unknown;
}

/** Steers single tasks. What is already so stays so; what the state does not allow throws `STATE_CONFLICT`. */
export interface Control {
  /** Ends a task that waits, and asks the worker of a running one to stop. */
  cancel(id: string, options?: CancelOptions): Promise<Task>;
  /** Keeps a task from being started until it is resumed; an attempt under way goes on. */
  pause(id: string, options?: ControlOptions): Promise<Task>;
  resume(id: string, options?: ControlOptions): Promise<Task>;
  /** Ends a task that waits, or a dead letter, as if its work were done. */
  skip(id: string, options?: ControlOptions): Promise<Task>;
  /** Puts a dead letter back in the queue, with all its attempts. */
  redrive(id: string, options?: RedriveOptions): Promise<Task>;
  /** Gives a dead letter up: it stays FAILED and is no dead letter any more. */
  discard(id: string, options?: ControlOptions): Promise<Task>;
}

export function createControl(caller: Caller, namespace: string): Control {
  const { method } = TaskService;
  const about = (id: string, { reason = '' }: ControlOptions) => ({ namespace, id, reason });
  const taskOf = async (answer: Promise<{ task?: ContractTask | undefined }>) => presentTask((await answer).task);
  return {
    cancel(id, options = {}) {
      const grace = options.graceMs === undefined ? {} : { grace: durationFromMs(options.graceMs) };
      const request = create(CancelTaskRequestSchema, { ...about(id, options), ...grace });
      return taskOf(caller.unary(method.cancelTask, request));
    },
    pause: (id, options = {}) =>
      taskOf(caller.unary(method.pauseTask, create(PauseTaskRequestSchema, about(id, options)))),
    resume: (id, options = {}) =>
      taskOf(caller.unary(method.resumeTask, create(ResumeTaskRequestSchema, about(id, options)))),
    skip: (id, options = {}) =>
      taskOf(caller.unary(method.skipTask, create(SkipTaskRequestSchema, about(id, options)))),
    redrive(id, options = {}) {
      const { delayMs, input } = options;
      const request = create(RedriveTaskRequestSchema, {
        ...about(id, options),
        ...(delayMs !== undefined && { delay: durationFromMs(delayMs) }),
        ...(input !== undefined && { input: encodePayload(input) }),
      });
      return taskOf(caller.unary(method.redriveTask, request));
    },
    discard: (id, options = {}) =>
      taskOf(caller.unary(method.discardTask, create(DiscardTaskRequestSchema, about(id, options)))),
  };
}
