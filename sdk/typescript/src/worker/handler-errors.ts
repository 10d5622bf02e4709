import { FailureKind } from '@dstc/contract/dstc/v1/task_pb';

/** A failure that a handler states in its own words. Any other error counts as transient, with the code `HANDLER_ERROR`. */
export abstract class HandlerError extends Error {
  /** A stable identifier, such as `PROVIDER_TIMEOUT`; the retry policy may name it. */
  readonly code: string;
  abstract readonly kind: FailureKind;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** Another attempt cannot help: the task fails. */
export class PermanentError extends HandlerError {
  readonly kind = FailureKind.PERMANENT;
}

/** No task of this type can succeed at present: the task fails, and the type's circuit opens. */
export class FatalError extends HandlerError {
  readonly kind = FailureKind.FATAL;
}

/** Another attempt may help, after `retryAfterMs` if given, else after what the retry policy says. */
export class RetryableError extends HandlerError {
  readonly kind = FailureKind.TRANSIENT;
  readonly retryAfterMs: number | undefined;

  constructor(
    code: string,
    message: string,
    options: ErrorOptions & { readonly retryAfterMs?: number | undefined } = {},
  ) {
    super(code, message, options);
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Why a handler is to stop. */
export type InterruptionCause =
  /** Somebody cancelled the task. */
  | 'CANCELLED'
  /** The task is not this worker's any more; another one may have it. */
  | 'LEASE_LOST'
  /** The time of the attempt is over. */
  | 'RUN_TIMEOUT'
  /** The handler said nothing for longer than the task's heartbeat deadline. */
  | 'HEARTBEAT_TIMEOUT'
  /** The worker stops and its grace is over. */
  | 'SHUTDOWN';

/** The reason of a handler's AbortSignal. */
export class InterruptedError extends Error {
  override readonly name = 'AbortError';
  readonly interruption: InterruptionCause;

  constructor(interruption: InterruptionCause, message: string) {
    super(message);
    this.interruption = interruption;
  }
}
