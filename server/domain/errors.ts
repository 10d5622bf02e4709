/**
 * Every error that a caller can meet. The reasons repeat `dstc.v1.ErrorReason` without its prefix; the doors fail to
 * compile when the two differ.
 */
export const codeOfReason = {
  FIELD_INVALID: 'INVALID_ARGUMENT',
  INPUT_INVALID: 'INVALID_ARGUMENT',
  PAGE_TOKEN_INVALID: 'INVALID_ARGUMENT',
  TOKEN_MISSING: 'UNAUTHENTICATED',
  TOKEN_INVALID: 'UNAUTHENTICATED',
  PERMISSION_MISSING: 'PERMISSION_DENIED',
  TASK_NOT_FOUND: 'NOT_FOUND',
  TASK_TYPE_NOT_FOUND: 'NOT_FOUND',
  SESSION_NOT_FOUND: 'NOT_FOUND',
  IDEMPOTENCY_CONFLICT: 'ALREADY_EXISTS',
  STATE_CONFLICT: 'FAILED_PRECONDITION',
  WORKER_DRAINED: 'FAILED_PRECONDITION',
  LEASE_LOST: 'FAILED_PRECONDITION',
  PROTOCOL_VIOLATION: 'FAILED_PRECONDITION',
  ETAG_MISMATCH: 'ABORTED',
  PAYLOAD_TOO_LARGE: 'RESOURCE_EXHAUSTED',
  MESSAGE_TOO_LARGE: 'RESOURCE_EXHAUSTED',
  OVERLOADED: 'RESOURCE_EXHAUSTED',
  SLOW_CONSUMER: 'RESOURCE_EXHAUSTED',
  DEADLINE_EXCEEDED: 'DEADLINE_EXCEEDED',
  DATABASE_UNAVAILABLE: 'UNAVAILABLE',
  NODE_DRAINING: 'UNAVAILABLE',
  INTERNAL: 'INTERNAL',
  CALL_CANCELLED: 'CANCELLED',
  UNIMPLEMENTED: 'UNIMPLEMENTED',
  QUEUE_FULL: 'RESOURCE_EXHAUSTED',
  EVENT_RULE_NOT_FOUND: 'NOT_FOUND',
  EVENT_RULE_FAILED: 'INVALID_ARGUMENT',
  WEBHOOK_NOT_FOUND: 'NOT_FOUND',
  LIMIT_REACHED: 'RESOURCE_EXHAUSTED',
} as const;

export type ErrorReason = keyof typeof codeOfReason;
export type ErrorCode = (typeof codeOfReason)[ErrorReason];

/** A field that breaks a rule: its path, such as `labels["a b"]`, and what is wrong with it. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

export interface ErrorDetails {
  /** Dynamic values of the message, for programs. Never payload data. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly FieldViolation[];
  /** When the same call may succeed; becomes a RetryInfo. */
  readonly retryDelayMs?: number;
  /** For the log; never leaves the process. */
  readonly cause?: unknown;
}

/** An error for a caller: a reason to switch on, a sentence that says what, which one and what to do. */
export class DstcError extends Error {
  readonly reason: ErrorReason;
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
  readonly retryDelayMs: number | undefined;

  constructor(reason: ErrorReason, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'DstcError';
    this.reason = reason;
    this.metadata = details.metadata ?? {};
    this.violations = details.violations ?? [];
    this.retryDelayMs = details.retryDelayMs;
  }

  get code(): ErrorCode {
    return codeOfReason[this.reason];
  }
}

/** One field that breaks a rule. */
export function fieldInvalid(field: string, description: string): DstcError {
  return new DstcError('FIELD_INVALID', `${field}: ${description}`, { violations: [{ field, description }] });
}

/** A foreign task and one that does not exist get the same answer. */
export function taskNotFound(id: string): DstcError {
  return new DstcError('TASK_NOT_FOUND', `there is no task ${id} that you may see`, { metadata: { task_id: id } });
}

export function taskTypeNotFound(name: string): DstcError {
  return new DstcError('TASK_TYPE_NOT_FOUND', `there is no task type ${name}; an operator can apply it`, {
    metadata: { task_type: name },
  });
}

/** A rule whose task type one may not see and one that does not exist get the same answer. */
export function eventRuleNotFound(name: string): DstcError {
  return new DstcError('EVENT_RULE_NOT_FOUND', `there is no event rule ${name} that you may see`, {
    metadata: { event_rule: name },
  });
}

/** A foreign webhook and one that does not exist get the same answer. */
export function webhookNotFound(id: string): DstcError {
  return new DstcError('WEBHOOK_NOT_FOUND', `there is no webhook ${id} that you may see`, {
    metadata: { webhook_id: id },
  });
}
