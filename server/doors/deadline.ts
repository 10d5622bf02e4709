import { DstcError, fieldInvalid } from '../domain/errors.ts';
import { type DoorLimits, timerMsMax } from './door-limits.ts';

const unitMs = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 } as const;

/** Milliseconds of a `grpc-timeout`, up to 99999999 hours. Throws FIELD_INVALID. */
export function parseGrpcTimeout(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const match = /^(\d{1,8})([HMSmun])$/.exec(value);
  if (match === null) throw fieldInvalid('grpc-timeout', 'must be up to 8 digits and one of H, M, S, m, u, n');
  return Math.ceil(Number(match[1]) * unitMs[match[2] as keyof typeof unitMs]);
}

/** Milliseconds of a `connect-timeout-ms`. Throws FIELD_INVALID. */
export function parseConnectTimeout(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (!/^\d{1,10}$/.test(value)) throw fieldInvalid('connect-timeout-ms', 'must be up to 10 digits');
  return Number(value);
}

/** How long a unary call may take: what the client asks for within the bounds. */
export function unaryDeadlineMs(limits: DoorLimits, clientMs: number | undefined): number {
  return Math.min(clientMs ?? limits.unaryDeadlineMsDefault, limits.unaryDeadlineMsMax);
}

/** How long a stream may take: as long as it likes, unless the client says otherwise. */
export function streamDeadlineMs(clientMs: number | undefined): number | undefined {
  return clientMs === undefined || clientMs > timerMsMax ? undefined : clientMs;
}

/**
 * What `work` comes to, or the signal's reason as soon as it aborts: a handler that ignores its signal must not keep the
 * caller past the deadline. What such a handler still does is not waited for.
 */
export function untilAborted<Result>(signal: AbortSignal, work: () => Promise<Result> | Result): Promise<Result> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(abortReason(signal));
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener('abort', onAbort, { once: true });
    const settle = () => signal.removeEventListener('abort', onAbort);
    Promise.resolve()
      .then(work)
      .then(
        (result) => {
          settle();
          resolve(result);
        },
        (error: unknown) => {
          settle();
          reject(error);
        },
      );
  });
}

/** An abort without a reason of ours is the caller going away. */
export function abortReason(signal: AbortSignal): unknown {
  const { reason } = signal;
  if (reason instanceof Error && reason.name !== 'AbortError') return reason;
  return new DstcError('CALL_CANCELLED', 'the caller has cancelled the call', { cause: reason });
}
