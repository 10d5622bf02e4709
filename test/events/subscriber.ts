import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import {
  EventService,
  type SubscribedEvent,
  type SubscribeEventsRequestSchema,
  type SubscribeEventsResponse,
} from '@dstc/contract/dstc/v1/event_service_pb';
import { ErrorInfoSchema } from '@dstc/contract/google/rpc/error_details_pb';

/** The ways in that a stream of events has. */
export const eventDoors = ['gRPC', 'HTTP/JSON'] as const;
export type EventDoor = (typeof eventDoors)[number];

export interface StreamEnd {
  readonly code: string;
  readonly reason: string;
}

export interface Subscriber {
  /** The next answer; rejects when the stream ends. */
  readonly next: () => Promise<SubscribeEventsResponse>;
  /** Events that were not taken yet, until there are this many. */
  readonly events: (count: number) => Promise<SubscribedEvent[]>;
  /** All events that were not taken yet, after another answer when there are none. */
  readonly more: () => Promise<SubscribedEvent[]>;
  /** Events that were not taken yet, until the server says that it has looked at everything that was there at its beginning. */
  readonly untilCaughtUp: () => Promise<SubscribedEvent[]>;
  /** Of the last answer. */
  readonly cursor: () => string;
  /** Reads on, and answers with how the stream ends: a code and the reason of its ErrorInfo. */
  readonly end: () => Promise<StreamEnd>;
  readonly stop: () => Promise<void>;
}

export interface SubscriberOptions {
  readonly door: EventDoor;
  readonly node: { readonly grpcAddress: string; readonly httpUrl: string };
  readonly token: string;
  readonly request?: MessageInitShape<typeof SubscribeEventsRequestSchema>;
}

/** Opens a stream on a connection of its own, and waits for its first answer: from here on nothing is missed. */
export async function openSubscriber(options: SubscriberOptions): Promise<Subscriber> {
  const controller = new AbortController();
  const client = createClient(EventService, transportOf(options));
  const answers = client
    .subscribeEvents(options.request ?? {}, {
      signal: controller.signal,
      headers: { authorization: `Bearer ${options.token}` },
    })
    [Symbol.asyncIterator]();
  let cursor = '';
  let isCaughtUp = false;
  let untaken: SubscribedEvent[] = [];

  async function next(): Promise<SubscribeEventsResponse> {
    const { value, done } = await answers.next();
    if (done) throw new Error('the stream of events has ended without a status');
    cursor = value.cursor;
    isCaughtUp = value.caughtUp;
    untaken.push(...value.events);
    return value;
  }
  function take(count: number): SubscribedEvent[] {
    const taken = untaken.slice(0, count);
    untaken = untaken.slice(count);
    return taken;
  }

  let ended: Promise<StreamEnd> | undefined;
  function end(): Promise<StreamEnd> {
    ended ??= readOn();
    return ended;
  }
  async function readOn(): Promise<StreamEnd> {
    try {
      for (;;) await next();
    } catch (error) {
      if (!(error instanceof ConnectError)) throw error;
      return { code: Code[error.code], reason: error.findDetails(ErrorInfoSchema)[0]?.reason ?? '' };
    }
  }

  await next();
  return {
    next,
    async events(count) {
      while (untaken.length < count) await next();
      return take(count);
    },
    async more() {
      if (untaken.length === 0) await next();
      return take(untaken.length);
    },
    async untilCaughtUp() {
      while (!isCaughtUp) await next();
      return take(untaken.length);
    },
    cursor: () => cursor,
    end,
    async stop() {
      controller.abort();
      // Whoever still waits for an answer has heard it.
      await end().catch(() => undefined);
    },
  };
}

function transportOf({ door, node }: SubscriberOptions): Transport {
  switch (door) {
    case 'gRPC':
      return createGrpcTransport({ baseUrl: `http://${node.grpcAddress}` });
    case 'HTTP/JSON':
      return createConnectTransport({ baseUrl: node.httpUrl, httpVersion: '1.1', useBinaryFormat: false });
  }
}

/** A task and the sequence of its event, or another subject. */
export function keyOf({ event }: SubscribedEvent): string {
  return `${event?.subject}:${event?.sequence}`;
}
