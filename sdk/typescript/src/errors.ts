import type { ErrorReason as ContractReason } from '@dstc/contract/dstc/v1/error_pb';
import type { status } from '@grpc/grpc-js';
import type { Task, TaskError } from './task.ts';

/**
 * Why a call failed: the closed list of the contract, and two reasons of this side: `UNREACHABLE` when no coordinator
 * answered, `UNKNOWN` when the answer gave no reason that this version knows.
 */
export type ErrorReason = Exclude<keyof typeof ContractReason, 'UNSPECIFIED'> | 'UNREACHABLE' | 'UNKNOWN';

/** The name of a gRPC status code. */
export type ErrorCode = Exclude<keyof typeof status, 'OK'>;

/** A field of the request that breaks a rule. */
export interface FieldViolation {
  /** Its path, such as `labels["a b"]`. */
  readonly field: string;
  readonly description: string;
}

export interface DstcErrorInit {
  readonly reason: ErrorReason;
  readonly code: ErrorCode;
  readonly message: string;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  readonly violations?: readonly FieldViolation[] | undefined;
  readonly retryDelayMs?: number | undefined;
  readonly cause?: unknown;
}

/** A call that failed. Switch on `reason`; the message is for people. */
export class DstcError extends Error {
  override readonly name = 'DstcError';
  readonly reason: ErrorReason;
  readonly code: ErrorCode;
  /** Dynamic values of the message, such as `task_id` or a limit. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
  /** When the same call may succeed, if the coordinator said so. */
  readonly retryDelayMs: number | undefined;

  constructor(init: DstcErrorInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.reason = init.reason;
    this.code = init.code;
    this.metadata = init.metadata ?? {};
    this.violations = init.violations ?? [];
    this.retryDelayMs = init.retryDelayMs;
  }
}

/** Whether an error is a DstcError with this reason. */
export function isReason<R extends ErrorReason>(
  error: unknown,
  reason: R,
): error is DstcError & { readonly reason: R } {
  return error instanceof DstcError && error.reason === reason;
}

/** The task that was waited for has failed. */
export class TaskFailedError extends Error {
  override readonly name = 'TaskFailedError';
  readonly task: Task;
  /** The failure of the last attempt. */
  readonly error: TaskError;

  constructor(task: Task) {
    const error = task.error ?? { code: '', message: 'no error was recorded', kind: 'UNSPECIFIED' };
    super(`task ${task.id} (${task.type}) failed: ${error.code === '' ? '' : `${error.code}: `}${error.message}`);
    this.task = task;
    this.error = error;
  }
}

/** The task that was waited for was cancelled. */
export class TaskCancelledError extends Error {
  override readonly name = 'TaskCancelledError';
  readonly task: Task;
  /** The failure of the last attempt, if any attempt failed before the cancel. */
  readonly error: TaskError | undefined;

  constructor(task: Task) {
    super(`task ${task.id} (${task.type}) was cancelled`);
    this.task = task;
    this.error = task.error;
  }
}
