import { randomUUID } from 'node:crypto';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorReason as ReasonProto } from '@dstc/contract/dstc/v1/error_pb';
import type { CallErrorSchema } from '@dstc/contract/dstc/v1/task_service_pb';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '@dstc/contract/google/rpc/error_details_pb';
import type { Logger } from 'pino';
import { DstcError, type ErrorCode, type ErrorReason } from '../domain/errors.ts';
import { describeFault } from './fault.ts';

const errorDomain = 'dstc';

const connectCode = {
  INVALID_ARGUMENT: Code.InvalidArgument,
  UNAUTHENTICATED: Code.Unauthenticated,
  PERMISSION_DENIED: Code.PermissionDenied,
  NOT_FOUND: Code.NotFound,
  ALREADY_EXISTS: Code.AlreadyExists,
  FAILED_PRECONDITION: Code.FailedPrecondition,
  ABORTED: Code.Aborted,
  RESOURCE_EXHAUSTED: Code.ResourceExhausted,
  DEADLINE_EXCEEDED: Code.DeadlineExceeded,
  UNAVAILABLE: Code.Unavailable,
  INTERNAL: Code.Internal,
  CANCELLED: Code.Canceled,
  UNIMPLEMENTED: Code.Unimplemented,
} as const satisfies Record<ErrorCode, Code>;

/** The reasons of the domain and those of the contract, each exactly once. */
export const reasonProto = {
  FIELD_INVALID: ReasonProto.FIELD_INVALID,
  INPUT_INVALID: ReasonProto.INPUT_INVALID,
  PAGE_TOKEN_INVALID: ReasonProto.PAGE_TOKEN_INVALID,
  TOKEN_MISSING: ReasonProto.TOKEN_MISSING,
  TOKEN_INVALID: ReasonProto.TOKEN_INVALID,
  PERMISSION_MISSING: ReasonProto.PERMISSION_MISSING,
  TASK_NOT_FOUND: ReasonProto.TASK_NOT_FOUND,
  TASK_TYPE_NOT_FOUND: ReasonProto.TASK_TYPE_NOT_FOUND,
  SESSION_NOT_FOUND: ReasonProto.SESSION_NOT_FOUND,
  IDEMPOTENCY_CONFLICT: ReasonProto.IDEMPOTENCY_CONFLICT,
  STATE_CONFLICT: ReasonProto.STATE_CONFLICT,
  LEASE_LOST: ReasonProto.LEASE_LOST,
  PROTOCOL_VIOLATION: ReasonProto.PROTOCOL_VIOLATION,
  ETAG_MISMATCH: ReasonProto.ETAG_MISMATCH,
  PAYLOAD_TOO_LARGE: ReasonProto.PAYLOAD_TOO_LARGE,
  MESSAGE_TOO_LARGE: ReasonProto.MESSAGE_TOO_LARGE,
  OVERLOADED: ReasonProto.OVERLOADED,
  SLOW_CONSUMER: ReasonProto.SLOW_CONSUMER,
  DEADLINE_EXCEEDED: ReasonProto.DEADLINE_EXCEEDED,
  DATABASE_UNAVAILABLE: ReasonProto.DATABASE_UNAVAILABLE,
  NODE_DRAINING: ReasonProto.NODE_DRAINING,
  INTERNAL: ReasonProto.INTERNAL,
  CALL_CANCELLED: ReasonProto.CALL_CANCELLED,
  UNIMPLEMENTED: ReasonProto.UNIMPLEMENTED,
  QUEUE_FULL: ReasonProto.QUEUE_FULL,
  WORKER_DRAINED: ReasonProto.WORKER_DRAINED,
  EVENT_RULE_NOT_FOUND: ReasonProto.EVENT_RULE_NOT_FOUND,
  EVENT_RULE_FAILED: ReasonProto.EVENT_RULE_FAILED,
  WEBHOOK_NOT_FOUND: ReasonProto.WEBHOOK_NOT_FOUND,
  LIMIT_REACHED: ReasonProto.LIMIT_REACHED,
} as const satisfies Record<ErrorReason, ReasonProto>;

/** Fails to compile when the contract has a reason that the domain lacks. */
type MissingReason = Exclude<keyof typeof ReasonProto, ErrorReason | 'UNSPECIFIED'>;
const missingReason: [MissingReason] extends [never] ? true : MissingReason = true;
void missingReason;

/** The reason that the contract calls so; undefined for one that is none. */
export function reasonOf(reason: ReasonProto | undefined): ErrorReason | undefined {
  const found = Object.entries(reasonProto).find(([, proto]) => proto === reason);
  return found?.[0] as ErrorReason | undefined;
}

export interface ErrorDeps {
  readonly log: Logger;
}

/** The error that goes to the caller: exactly one ErrorInfo, and nothing from a foreign message. */
export function toConnectError(deps: ErrorDeps, error: unknown, about: { readonly rpc: string }): ConnectError {
  return connectErrorOf(toDstcError(deps, error, about));
}

/** Any error as one with a reason. One that nobody foresaw is logged and becomes INTERNAL with a correlation id. */
export function toDstcError(deps: ErrorDeps, error: unknown, about: { readonly rpc: string }): DstcError {
  if (error instanceof DstcError) return error;
  if (error instanceof ConnectError) {
    // One of ours on its way out.
    if (error.cause instanceof DstcError) return error.cause;
    const byCaller = fromConnect(error);
    if (byCaller !== undefined) return byCaller;
  }
  const correlationId = randomUUID();
  deps.log.error({ correlationId, rpc: about.rpc, fault: describeFault(error) }, 'a call failed unexpectedly');
  return new DstcError('INTERNAL', `internal error; the operators find it in the log as ${correlationId}`, {
    metadata: { correlation_id: correlationId },
    cause: error,
  });
}

/** Errors that Connect itself answers with, all of them caused by the caller. Its other codes are faults. */
function fromConnect(error: ConnectError): DstcError | undefined {
  switch (error.code) {
    case Code.Canceled:
      return new DstcError('CALL_CANCELLED', 'the caller has cancelled the call', { cause: error });
    case Code.DeadlineExceeded:
      return deadlineExceeded(error);
    case Code.InvalidArgument:
      return new DstcError('FIELD_INVALID', error.rawMessage, { cause: error });
    case Code.ResourceExhausted:
      return new DstcError('MESSAGE_TOO_LARGE', error.rawMessage, { cause: error });
    case Code.Unimplemented:
      return new DstcError('UNIMPLEMENTED', error.rawMessage, { cause: error });
    case Code.Aborted:
      return new DstcError('CALL_CANCELLED', 'the connection was lost', { cause: error });
    default:
      return undefined;
  }
}

export function deadlineExceeded(cause?: unknown): DstcError {
  return new DstcError('DEADLINE_EXCEEDED', 'the call was not finished in time; it may have taken effect', { cause });
}

export function messageTooLarge(bytesMax: number): DstcError {
  return new DstcError('MESSAGE_TOO_LARGE', `a message is larger than ${bytesMax} bytes; send less at a time`, {
    metadata: { limit_bytes: String(bytesMax) },
  });
}

/**
 * Errors travel in headers, and some clients refuse headers over 8 KiB: a long value that the caller sent, such as a map key
 * in the path of a field, must not make the error unreadable.
 */
const bounds = { messageBytesMax: 512, violationsMax: 8, violationBytesMax: 160, metadataBytesMax: 256 };

export function connectErrorOf(error: DstcError): ConnectError {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(error.metadata)) metadata[name] = clip(value, bounds.metadataBytesMax);
  const details: ConnectError['details'] = [
    { desc: ErrorInfoSchema, value: { reason: error.reason, domain: errorDomain, metadata } },
  ];
  if (error.violations.length > 0) {
    const fieldViolations = error.violations.slice(0, bounds.violationsMax).map(({ field, description }) => ({
      field: clip(field, bounds.violationBytesMax),
      description: clip(description, bounds.violationBytesMax),
    }));
    details.push({ desc: BadRequestSchema, value: create(BadRequestSchema, { fieldViolations }) });
  }
  if (error.retryDelayMs !== undefined) {
    details.push({ desc: RetryInfoSchema, value: { retryDelay: durationFromMs(error.retryDelayMs) } });
  }
  const message = clip(error.message, bounds.messageBytesMax);
  const connectError = new ConnectError(message, connectCode[error.code], undefined, undefined, error);
  connectError.details = details;
  return connectError;
}

/** The beginning of a text, without half a character at its end. */
function clip(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text);
  if (bytes.byteLength <= bytesMax) return text.toWellFormed();
  return `${bytes.toString('utf8', 0, bytesMax).replace(/\uFFFD+$/, '')}…`;
}

/** The error of one item of a batch. */
export function callErrorOf(error: DstcError): MessageInitShape<typeof CallErrorSchema> {
  return {
    code: connectCode[error.code],
    reason: reasonProto[error.reason],
    message: error.message,
    violations: error.violations.map(({ field, description }) => ({ field, description })),
    metadata: { ...error.metadata },
  };
}
