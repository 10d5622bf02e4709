import { create } from '@bufbuild/protobuf';
import {
  EventDisposition as ContractDisposition,
  type EventRuleOutcome as ContractOutcome,
  type PublishedEvent as ContractPublished,
  type PublishEventResult as ContractResult,
} from '@dstc/contract/dstc/v1/cloud_event_pb';
import {
  EventService,
  PublishEventRequestSchema,
  PublishEventsRequestSchema,
} from '@dstc/contract/dstc/v1/event_service_pb';
import type { Caller } from './caller.ts';
import { type CloudEvent, contractEvent } from './cloud-event.ts';
import { errorOfItem } from './error-details.ts';
import { DstcError } from './errors.ts';
import { payloadBytes } from './payload.ts';

/** What one rule made of an event: a task, or why there is none. */
export type EventRuleOutcome = { readonly rule: string; readonly taskType: string } & (
  | { readonly ok: true; readonly taskId: string; readonly alreadyExisted: boolean }
  | { readonly ok: false; readonly error: DstcError }
);

/** What an event led to. */
export interface PublishedEvent {
  /** `REPORTED` for reports of workers; `IGNORED` when no rule is for it by which the caller may submit. */
  readonly disposition: 'IGNORED' | 'SUBMITTED' | 'REPORTED';
  readonly rules: readonly EventRuleOutcome[];
}

/** What became of one event of many. */
export type PublishResult =
  | { readonly ok: true; readonly event: PublishedEvent }
  | { readonly ok: false; readonly error: DstcError };

export interface EventPublishing {
  /** Sends an event to the coordinator's rules. Throws what is wrong with it, or when nothing but errors came of it. */
  publishEvent(event: CloudEvent): Promise<PublishedEvent>;
  /**
   * Any number of events; the result at an index belongs to the event at that index. When a batch fails as a whole, its
   * events and those after it have that error as their result.
   */
  publishEvents(events: Iterable<CloudEvent>): Promise<PublishResult[]>;
}

const batchEventsMax = 100;
const batchBytesMax = 2 * 1024 * 1024;

export function createEventPublishing(caller: Caller, namespace: string): EventPublishing {
  const { method } = EventService;
  return {
    async publishEvent(event) {
      const request = create(PublishEventRequestSchema, { namespace, event: contractEvent(event) });
      return publishedOf((await caller.unary(method.publishEvent, request)).event);
    },

    async publishEvents(events) {
      const results: PublishResult[] = [];
      let failed: DstcError | undefined;
      for (const batch of batchesOf([...events].map(contractEvent))) {
        try {
          if (failed !== undefined) throw failed;
          const request = create(PublishEventsRequestSchema, { namespace, events: batch });
          const answer = await caller.unary(method.publishEvents, request);
          results.push(...answer.results.map(resultOf));
        } catch (error) {
          if (!(error instanceof DstcError)) throw error;
          failed = error;
          results.push(...batch.map(() => ({ ok: false as const, error })));
        }
      }
      return results;
    },
  };
}

type ContractEvent = ReturnType<typeof contractEvent>;

function batchesOf(events: readonly ContractEvent[]): ContractEvent[][] {
  const batches: ContractEvent[][] = [];
  let open: ContractEvent[] = [];
  let bytes = 0;
  for (const event of events) {
    const size = payloadBytes(event.data);
    if (open.length === batchEventsMax || (open.length > 0 && bytes + size > batchBytesMax)) {
      batches.push(open);
      open = [];
      bytes = 0;
    }
    open.push(event);
    bytes += size;
  }
  if (open.length > 0) batches.push(open);
  return batches;
}

const dispositions = {
  [ContractDisposition.UNSPECIFIED]: 'IGNORED',
  [ContractDisposition.IGNORED]: 'IGNORED',
  [ContractDisposition.SUBMITTED]: 'SUBMITTED',
  [ContractDisposition.REPORTED]: 'REPORTED',
} as const satisfies Record<ContractDisposition, PublishedEvent['disposition']>;

function publishedOf(event: ContractPublished | undefined): PublishedEvent {
  if (event === undefined) throw new Error('the coordinator answered without what became of an event');
  return { disposition: dispositions[event.disposition], rules: event.rules.map(outcomeOf) };
}

function outcomeOf({ rule, taskType, result, alreadyExisted }: ContractOutcome): EventRuleOutcome {
  switch (result.case) {
    case 'taskId':
      return { rule, taskType, ok: true, taskId: result.value, alreadyExisted };
    case 'error':
      return { rule, taskType, ok: false, error: errorOfItem(result.value) };
    case undefined:
      throw new Error('the coordinator answered without what a rule made of an event');
  }
}

function resultOf({ result }: ContractResult): PublishResult {
  switch (result.case) {
    case 'event':
      return { ok: true, event: publishedOf(result.value) };
    case 'error':
      return { ok: false, error: errorOfItem(result.value) };
    case undefined:
      throw new Error('the coordinator answered without a result for an event');
  }
}
