import { create } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  EventService,
  type SubscribeEventsRequest,
  SubscribeEventsRequestSchema,
} from '@dstc/contract/dstc/v1/event_service_pb';
import { fullJitterMs } from './backoff.ts';
import { type Caller, retryWaitMs } from './caller.ts';
import { DstcError } from './errors.ts';
import { type DstcEvent, eventOf } from './event.ts';
import { pause } from './pause.ts';
import { type LabelCondition, selectorOf } from './task-filter.ts';

/** Which events, and from where on. What is left out does not matter. */
export interface EventsOptions {
  /** Such as `dstc.task.failed.v1`; one that ends with `*`, such as `dstc.task.*`, stands for all that begin like it. */
  readonly types?: readonly string[] | undefined;
  readonly taskTypes?: readonly string[] | undefined;
  readonly taskIds?: readonly string[] | undefined;
  /** Of the task; events of what is no task have none. */
  readonly labels?: Readonly<Record<string, LabelCondition>> | undefined;
  /** Begins after the event that this cursor is of. */
  readonly cursor?: string | undefined;
  /** Without a cursor: begins with what happened at this time or later. Left out: with what happens from now on. */
  readonly since?: Date | undefined;
  /** False ends once everything was yielded that had happened before the call. Default: true. */
  readonly follow?: boolean | undefined;
  /**
   * Told where everything has been yielded up to, when the loop asks for the next event: every few seconds also when no event
   * comes that is wanted. The first time nothing more is missed.
   */
  readonly onCursor?: ((cursor: string) => void) | undefined;
  /** Ends the loop with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** The events of a namespace. A stream that is lost is opened again after the last event that was taken. */
export async function* streamEvents(
  caller: Caller,
  namespace: string,
  options: EventsOptions = {},
): AsyncGenerator<DstcEvent, void, undefined> {
  const { signal, follow = true, onCursor } = options;
  let cursor = options.cursor;
  let failures = 0;
  for (;;) {
    let waitMs: number | undefined;
    try {
      const request = () => requestOf(namespace, options, cursor);
      for await (const answer of caller.serverStream(EventService.method.subscribeEvents, request, { signal })) {
        failures = 0;
        for (const subscribed of answer.events) {
          const event = eventOf(subscribed);
          if (event !== undefined) yield event;
          cursor = subscribed.cursor;
        }
        cursor = answer.cursor;
        onCursor?.(cursor);
        if (answer.caughtUp && !follow) return;
      }
      waitMs = fullJitterMs({ failures, baseMs: 100, capMs: 5_000 });
    } catch (error) {
      waitMs = error instanceof DstcError ? waitBeforeNext(error, failures) : undefined;
      if (waitMs === undefined) throw error;
    }
    failures += 1;
    await pause(waitMs, signal);
  }
}

/** Whoever took longer than the coordinator waits goes on from the history. */
function waitBeforeNext(error: DstcError, failures: number): number | undefined {
  const isSlow = error.code === 'RESOURCE_EXHAUSTED' && error.reason !== 'OVERLOADED';
  return isSlow ? fullJitterMs({ failures, baseMs: 100, capMs: 5_000 }) : retryWaitMs(error, failures);
}

function requestOf(namespace: string, options: EventsOptions, cursor: string | undefined): SubscribeEventsRequest {
  const { types = [], taskTypes = [], taskIds = [], labels = {}, since } = options;
  const labelSelectors = Object.entries(labels).map(([key, condition]) => selectorOf(key, condition));
  return create(SubscribeEventsRequestSchema, {
    namespace,
    filter: { types: [...types], taskTypes: [...taskTypes], taskIds: [...taskIds], labelSelectors },
    ...(cursor !== undefined && { start: { case: 'cursor', value: cursor } }),
    ...(cursor === undefined &&
      since !== undefined && { start: { case: 'startTime', value: timestampFromDate(since) } }),
  });
}
