import type { limits } from '../domain/limits.ts';

/** The bounds that the doors keep; `limits` of the domain fits. */
export type DoorLimits = Readonly<
  Record<
    keyof Pick<
      typeof limits,
      | 'messageBytesMax'
      | 'headerBytesMax'
      | 'concurrentStreamsPerConnectionMax'
      | 'unaryDeadlineMsDefault'
      | 'unaryDeadlineMsMax'
      | 'streamWriteDeadlineMs'
      | 'streamStatusMs'
      | 'drainMs'
    >,
    number
  >
>;

/**
 * Bytes that one stream may have written and not yet handed to the network before its handler is made to wait. Small, as
 * a stalled reader costs this much (or one message) until it is cut off, and hundreds may stall at once.
 */
export const streamUnsentBytesMax = 128 * 1024;

/** The longest time that one timer can be set to; longer waits are no limit in practice. */
export const timerMsMax = 2 ** 31 - 1;
