import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { type Stop, StopSchema } from '@dstc/contract/dstc/v1/worker_pb';
import { fullJitterMs } from '../backoff.ts';
import { DstcError } from '../errors.ts';

/** What follows the end of a stream, or a failure to get a token for one. */
export interface Reconnect {
  readonly waitMs: number;
  /** The coordinator does not know the session any more. */
  readonly sessionLost: boolean;
  /** An operator has drained the worker and its time is over. */
  readonly drained: Stop | undefined;
}

export interface Failure {
  readonly error: unknown;
  /** Failures in a row before this one. */
  readonly failures: number;
}

const fast = { baseMs: 200, capMs: 5_000 };
const slowMs = 5_000;

export function afterFailure({ error, failures }: Failure, random: () => number = Math.random): Reconnect {
  const quickly = {
    waitMs: fullJitterMs({ failures, ...fast }, random),
    sessionLost: false,
    drained: undefined,
  };
  // What a person must put right is tried again without haste, and spread out.
  const slowly = { ...quickly, waitMs: slowMs + random() * slowMs };
  if (!(error instanceof DstcError)) return slowly;
  if (error.reason === 'SESSION_NOT_FOUND') return { ...quickly, sessionLost: true };
  if (error.reason === 'WORKER_DRAINED') {
    const stop = create(StopSchema, { reason: error.message, within: durationFromMs(0) });
    return { ...slowly, sessionLost: true, drained: stop };
  }
  switch (error.code) {
    case 'UNAUTHENTICATED':
      // The next one has a fresh token.
      return failures === 0 ? quickly : slowly;
    case 'PERMISSION_DENIED':
    case 'INVALID_ARGUMENT':
    case 'FAILED_PRECONDITION':
    case 'UNIMPLEMENTED':
    case 'NOT_FOUND':
      return slowly;
    default:
      return { ...quickly, waitMs: quickly.waitMs + (error.retryDelayMs ?? 0) };
  }
}

/** Whether people should hear of it: a coordinator that is away for a moment is nothing to act on. */
export function isTransient(error: unknown): boolean {
  return error instanceof DstcError && (error.code === 'UNAVAILABLE' || error.reason === 'SESSION_NOT_FOUND');
}
