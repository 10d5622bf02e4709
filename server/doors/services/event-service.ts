import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import {
  type EventService,
  type SubscribedEvent,
  SubscribedEventSchema,
  type SubscribeEventsRequest,
  type SubscribeEventsResponseSchema,
} from '@dstc/contract/dstc/v1/event_service_pb';
import type { EventPosition } from '../../domain/event-position.ts';
import { limits } from '../../domain/limits.ts';
import { createEventFilter } from '../../events/event-filter.ts';
import { bytesOf } from '../../events/event-size.ts';
import type { Limiter } from '../../events/limiter.ts';
import { type Start, startAfter, startAt, startNow } from '../../events/start.ts';
import type { Subscribers } from '../../events/subscribers.ts';
import { type Delivery, subscribe } from '../../events/subscription.ts';
import type { Tail } from '../../events/tail.ts';
import type { Database } from '../../store/database.ts';
import type { StoredEvent } from '../../store/select-events.ts';
import { callerOf } from '../context.ts';
import { type Cursor, cursorOf, toCursor } from '../convert/cursor.ts';
import { toEvent } from '../convert/event.ts';
import { eventFilterOf } from '../convert/event-filter.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { pageTokenInvalid } from '../convert/page-token.ts';
import { optionalDate } from '../convert/time.ts';
import { mayReceive } from './event-access.ts';
import { watchStreamEnd } from './stream-end.ts';

export interface EventServiceDeps {
  readonly database: Database;
  readonly tail: Tail;
  readonly history: Limiter;
  readonly subscribers: Subscribers;
  /** The name of this installation. */
  readonly cell: string;
  readonly historyDays: number;
  /** Aborts when the node shuts down: streams are told to go elsewhere. */
  readonly draining: AbortSignal;
}

type Answer = MessageInitShape<typeof SubscribeEventsResponseSchema>;

export function eventService(deps: EventServiceDeps): Pick<ServiceImpl<typeof EventService>, 'subscribeEvents'> {
  const toSubscribed = createConversion(deps.cell);

  return {
    async *subscribeEvents(request, context) {
      const namespace = namespaceOf(request);
      const caller = callerOf(context);
      const filter = eventFilterOf(request.filter);
      const passes = createEventFilter(filter);
      const permits = (event: StoredEvent) => mayReceive(caller, namespace, event);
      const place = deps.subscribers.enter();
      const ending = watchStreamEnd(context, { permission: 'read', namespace, draining: deps.draining });
      try {
        const { start, sinceMs } = await startOf(deps, namespace, request);
        const since = createSince(sinceMs);
        const deliveries = subscribe(deps, {
          start,
          wants: (event) => isOf(namespace, event) && passes(event) && since.includes(event) && permits(event),
          tasks: tasksOf(filter.taskIds),
          signal: ending.signal,
        });
        for await (const delivery of deliveries) {
          yield* answersOf(delivery, {
            signal: ending.signal,
            permits,
            toSubscribed: (event) => toSubscribed(namespace, event, since.ms()),
            toCursor: (position) => toCursor({ cell: deps.cell, namespace }, { position, sinceMs: since.ms() }),
          });
          since.settle();
        }
      } finally {
        place.leave();
        ending.stop();
      }
    },
  };
}

/** The policy is nobody's alone. */
function isOf(namespace: string, event: StoredEvent): boolean {
  return event.namespace === namespace || event.namespace === '';
}

interface Began {
  readonly start: Start;
  readonly sinceMs: number | undefined;
}

async function startOf(
  { database, cell, historyDays }: EventServiceDeps,
  namespace: string,
  { start }: SubscribeEventsRequest,
): Promise<Began> {
  switch (start.case) {
    case undefined:
      return { start: await startNow(database), sinceMs: undefined };
    case 'cursor': {
      if (start.value === '') return { start: await startNow(database), sinceMs: undefined };
      const cursor = cursorOf({ cell, namespace }, start.value);
      requireKept(cursor, historyDays);
      const after = await startAfter(database, cursor.position);
      // A database that was restored into another server has a clock of its own.
      if (BigInt(cursor.position.order) > after.end) throw pageTokenInvalid('cursor', 'is of another database');
      return { start: after, sinceMs: cursor.sinceMs };
    }
    case 'startTime': {
      const sinceMs = optionalDate('start_time', start.value)?.getTime() ?? 0;
      return { start: await startAt(database, sinceMs), sinceMs };
    }
  }
}

/** Events after an old cursor may be gone. Who began with a time has asked for what there is. */
function requireKept({ position, sinceMs }: Cursor, historyDays: number): void {
  const dayMs = 24 * 3_600_000;
  const keptSinceMs = (Math.floor(Date.now() / dayMs) - historyDays) * dayMs;
  if (sinceMs === undefined && position.timeMs < keptSinceMs) {
    throw pageTokenInvalid('cursor', `is older than the history that is kept, which is ${historyDays} days`);
  }
}

interface Since {
  readonly includes: (event: StoredEvent) => boolean;
  /** Undefined when nothing that comes can be too old. */
  readonly ms: () => number | undefined;
  /** Everything that it was asked about has been delivered. */
  readonly settle: () => void;
}

/** The order of the stream is about that of time: after an event that is well past the time, all others are past it, too. */
function createSince(firstMs: number | undefined): Since {
  let sinceMs = firstMs;
  let isOver = false;
  return {
    includes({ position: { timeMs } }) {
      if (sinceMs === undefined) return true;
      isOver ||= timeMs >= sinceMs + limits.eventTransactionMsMax;
      return timeMs >= sinceMs;
    },
    ms: () => sinceMs,
    settle() {
      if (isOver) sinceMs = undefined;
    },
  };
}

/** Ids of tasks begin with the time of their submission. */
function tasksOf(ids: readonly string[]): { readonly ids: readonly string[]; readonly sinceMs: number } | undefined {
  if (ids.length === 0) return undefined;
  const times = ids.map((id) => Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16));
  return { ids, sinceMs: Math.min(...times) };
}

interface Answering {
  readonly signal: AbortSignal;
  readonly permits: (event: StoredEvent) => boolean;
  readonly toSubscribed: (event: StoredEvent) => SubscribedEvent;
  readonly toCursor: (position: EventPosition) => string;
}

/** A delivery in answers of a bounded size. A reader may take its time between two, so that each is looked at anew. */
function* answersOf(delivery: Delivery, answering: Answering): Generator<Answer> {
  const { events, position, isCaughtUp } = delivery;
  let batch: StoredEvent[] = [];
  let bytes = 0;
  for (const event of events) {
    if (batch.length > 0 && bytes + bytesOf(event) > limits.subscriberBatchBytesMax) {
      yield answerOf(batch, { position: batch.at(-1)?.position ?? position, isCaughtUp: false }, answering);
      batch = [];
      bytes = 0;
    }
    batch.push(event);
    bytes += bytesOf(event);
  }
  yield answerOf(batch, { position, isCaughtUp }, answering);
}

function answerOf(
  batch: readonly StoredEvent[],
  { position, isCaughtUp }: Omit<Delivery, 'events'>,
  { signal, permits, toSubscribed, toCursor: cursorFor }: Answering,
): Answer {
  signal.throwIfAborted();
  return { events: batch.filter(permits).map(toSubscribed), cursor: cursorFor(position), caughtUp: isCaughtUp };
}

/** Subscribers share the messages of events that several of them get. */
function createConversion(cell: string) {
  const converted = new WeakMap<StoredEvent, SubscribedEvent>();
  return (namespace: string, event: StoredEvent, sinceMs: number | undefined): SubscribedEvent => {
    const isShared = event.namespace === namespace && sinceMs === undefined;
    const known = isShared ? converted.get(event) : undefined;
    if (known !== undefined) return known;
    const cursor = toCursor({ cell, namespace }, { position: event.position, sinceMs });
    const message = create(SubscribedEventSchema, { event: toEvent(event, cell), cursor });
    if (isShared) converted.set(event, message);
    return message;
  };
}
