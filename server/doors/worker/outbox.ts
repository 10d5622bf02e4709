import { create } from '@bufbuild/protobuf';
import { SettledSchema, type Settlement } from '@dstc/contract/dstc/v1/worker_pb';
import { type WorkResponse, WorkResponseSchema } from '@dstc/contract/dstc/v1/worker_service_pb';
import { limits } from '../../domain/limits.ts';
import type { Cut } from '../context.ts';

type Message = Exclude<WorkResponse['message'], { case: undefined }>;

/** What waits to be written to one worker. */
export interface Outbox extends AsyncIterable<WorkResponse> {
  /** `bytes` counts towards the bound of what may be on its way. */
  readonly push: (message: Message, bytes?: number) => void;
  /** Settlements of one turn go as one message. */
  readonly settle: (settlement: Settlement) => void;
  /** Ends the stream after what is queued, or at once with an error. */
  readonly end: (error?: unknown) => void;
  readonly isCongested: () => boolean;
}

const settlementsMax = 1_000;
/** What a settlement takes here, about. */
const settlementBytes = 256;

export interface OutboxOptions {
  /** Called when a congested outbox has emptied. */
  readonly onRoom: () => void;
  /** Called with the error of the end: who waits for the worker to read must not wait any longer. */
  readonly cut: Cut;
}

export function createOutbox({ onRoom, cut }: OutboxOptions): Outbox {
  let queue: { readonly message: Message; readonly bytes: number }[] = [];
  let settlements: Settlement[] = [];
  let queuedBytes = 0;
  let wasCongested = false;
  let ended: { readonly error: unknown } | undefined;
  let wake = Promise.withResolvers<void>();

  const isCongested = () => queuedBytes >= limits.streamBufferBytesMax;

  function push(message: Message, bytes = 0): void {
    if (ended !== undefined) return;
    queue.push({ message, bytes });
    queuedBytes += bytes;
    wasCongested ||= isCongested();
    wake.resolve();
  }

  function flushSettlements(): void {
    const items = settlements;
    settlements = [];
    if (items.length > 0)
      push({ case: 'settled', value: create(SettledSchema, { items }) }, items.length * settlementBytes);
  }

  return {
    push,
    settle(settlement) {
      if (settlements.push(settlement) === 1) setImmediate(flushSettlements);
      if (settlements.length === settlementsMax) flushSettlements();
    },
    end(error) {
      flushSettlements();
      if (ended !== undefined) return;
      ended = { error };
      wake.resolve();
      if (error !== undefined) cut(error);
    },
    isCongested,
    async *[Symbol.asyncIterator]() {
      for (;;) {
        if (ended?.error !== undefined) throw ended.error;
        const batch = queue;
        queue = [];
        for (const { message, bytes } of batch) {
          yield create(WorkResponseSchema, { message });
          queuedBytes -= bytes;
          if (!wasCongested || queuedBytes > 0) continue;
          wasCongested = false;
          onRoom();
        }
        if (queue.length > 0) continue;
        if (ended !== undefined) {
          if (ended.error !== undefined) throw ended.error;
          return;
        }
        await wake.promise;
        wake = Promise.withResolvers();
      }
    },
  };
}
