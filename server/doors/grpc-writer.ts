import { constants } from 'node:http2';
import type { Writable } from 'node:stream';
import { DstcError } from '../domain/errors.ts';
import { abortReason } from './deadline.ts';
import { type DoorLimits, streamUnsentBytesMax } from './door-limits.ts';
import type { Arrival } from './grpc-arrivals.ts';

export interface GrpcWriter {
  /** Resolves when there is room for the next message. Rejects when the caller is gone or does not read. */
  write(message: Buffer): Promise<void>;
  /**
   * Resolves when everything that was written is out of our hands, or the stream is gone. What takes longer than this is
   * cut off, too.
   */
  flush(msMax: number): Promise<void>;
}

/**
 * Writes messages to a stream no faster than they are read. A reader that leaves no room for the whole write deadline is
 * cut off by a reset: a status would have to wait behind the messages that it does not read.
 */
export function createGrpcWriter(limits: DoorLimits, arrival: Arrival, call: Writable): GrpcWriter {
  const { signal } = arrival.controller;
  let unsentBytes = 0;
  let onRoom: (() => void) | undefined;
  let onEmpty: (() => void) | undefined;

  function cutOff(): void {
    arrival.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  function room(): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        onRoom = undefined;
      };
      const onAbort = () => {
        settle();
        reject(abortReason(signal));
      };
      const timer = setTimeout(() => {
        const seconds = limits.streamWriteDeadlineMs / 1_000;
        arrival.controller.abort(
          new DstcError('SLOW_CONSUMER', `the stream was not read for ${seconds} s; connect again`),
        );
        cutOff();
      }, limits.streamWriteDeadlineMs);
      signal.addEventListener('abort', onAbort, { once: true });
      onRoom = () => {
        settle();
        resolve();
      };
    });
  }

  return {
    async write(message) {
      if (signal.aborted) throw abortReason(signal);
      unsentBytes += message.byteLength;
      call.write(message, () => {
        unsentBytes -= message.byteLength;
        if (unsentBytes <= streamUnsentBytesMax) onRoom?.();
        if (unsentBytes === 0) onEmpty?.();
      });
      if (unsentBytes > streamUnsentBytesMax) await room();
    },
    async flush(msMax) {
      if (unsentBytes === 0 || arrival.stream.closed) return;
      const empty = Promise.withResolvers<void>();
      onEmpty = empty.resolve;
      arrival.stream.once('close', empty.resolve);
      const timer = setTimeout(cutOff, msMax);
      await empty.promise;
      clearTimeout(timer);
    },
  };
}
