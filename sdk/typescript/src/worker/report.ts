import { create } from '@bufbuild/protobuf';
import type { Payload } from '@dstc/contract/dstc/v1/payload_pb';
import { FailureKind, type TaskError, TaskErrorSchema } from '@dstc/contract/dstc/v1/task_pb';
import { encodePayload, isContentType, payloadBytes } from '../payload.ts';
import { HandlerError, type InterruptedError, RetryableError } from './handler-errors.ts';
import { boundedText } from './text.ts';

/** How an attempt ended, as the coordinator is told. */
export type Report =
  | { readonly kind: 'succeeded'; readonly output: Payload }
  | { readonly kind: 'failed'; readonly error: TaskError; readonly retryAfterMs: number | undefined }
  | { readonly kind: 'released'; readonly reason: string }
  | { readonly kind: 'cancelAcknowledged' };

const messageBytesMax = 8_192;
const codeCharsMax = 128;
const retryAfterMsMax = 7 * 24 * 3_600_000;

/** For what a handler returned. An output that no coordinator would take fails the task, as the next attempt would too. */
export function succeeded(output: unknown, payloadBytesMax: number): Report {
  const payload = encodePayload(output);
  const bytes = payloadBytes(payload);
  if (bytes > payloadBytesMax) return outputInvalid(`the output has ${bytes} bytes; the limit is ${payloadBytesMax}`);
  // The coordinator would end the stream over it, and with it what others have reported.
  if (!isContentType(payload.contentType)) return outputInvalid('the content type of the output is no media type');
  return { kind: 'succeeded', output: payload };
}

function outputInvalid(message: string): Report {
  return failed(FailureKind.PERMANENT, 'OUTPUT_INVALID', message);
}

/** For what a handler threw. One that was told to stop has no failure of its own to tell. */
export function failedBy(thrown: unknown, interruption: InterruptedError | undefined): Report {
  switch (interruption?.interruption) {
    case 'CANCELLED':
      return { kind: 'cancelAcknowledged' };
    case 'SHUTDOWN':
      return { kind: 'released', reason: interruption.message };
    case 'RUN_TIMEOUT':
    case 'HEARTBEAT_TIMEOUT':
    case 'LEASE_LOST':
    case undefined:
      break;
  }
  return attempt(() => failureOf(thrown)) ?? failed(FailureKind.TRANSIENT, handlerErrorCode, unreadable);
}

function failureOf(thrown: unknown): Report {
  if (thrown instanceof HandlerError) {
    return failed(
      attempt(() => kindOf(thrown.kind)) ?? FailureKind.TRANSIENT,
      attempt(() => textOf(thrown.code)) ?? handlerErrorCode,
      attempt(() => textOf(thrown.message)) ?? unreadable,
      attempt(() => (thrown instanceof RetryableError ? thrown.retryAfterMs : undefined)),
    );
  }
  const message = attempt(() => messageOf(thrown)) ?? unreadable;
  return failed(FailureKind.TRANSIENT, handlerErrorCode, message);
}

function messageOf(thrown: unknown): string {
  if (thrown instanceof Error) return textOf(thrown.message);
  return typeof thrown === 'string' ? thrown : `a ${typeof thrown} was thrown`;
}

const handlerErrorCode = 'HANDLER_ERROR';
const unreadable = 'an error was thrown that cannot be read';

/** Undefined when it throws: a handler may throw anything, also what has getters that throw in their turn. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** The types say that it is a string; who writes JavaScript has no types. */
function textOf(value: unknown): string {
  return value === undefined ? '' : String(value);
}

function kindOf(kind: FailureKind): FailureKind | undefined {
  return FailureKind[kind] === undefined ? undefined : kind;
}

export function failed(kind: FailureKind, code: string, message: string, retryAfterMs?: number): Report {
  return {
    kind: 'failed',
    error: create(TaskErrorSchema, {
      kind,
      code: code.replace(/[^A-Za-z0-9_.:-]/g, '_').slice(0, codeCharsMax),
      message: boundedText(message, messageBytesMax),
    }),
    retryAfterMs:
      typeof retryAfterMs !== 'number' || Number.isNaN(retryAfterMs)
        ? undefined
        : Math.round(Math.min(Math.max(retryAfterMs, 0), retryAfterMsMax)),
  };
}

/** About as many bytes as the report takes in a message, rather more than fewer. */
export function reportBytes(report: Report): number {
  switch (report.kind) {
    case 'succeeded':
      return envelopeBytes + payloadBytes(report.output);
    case 'failed':
      return envelopeBytes + report.error.message.length * 3;
    case 'released':
    case 'cancelAcknowledged':
      return envelopeBytes;
  }
}

/** A lease with its two ids, a content type and the lengths around them. */
const envelopeBytes = 384;
