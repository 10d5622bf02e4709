import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import { BusAwayError, type BusMessage, type EventBus } from './bus.ts';
import { openNatsLink } from './nats-connection.ts';
import { createNatsPublisher, type NatsPublisher, type PublishAck, PublishRefusedError } from './nats-publisher.ts';
import type { NatsSettings } from './nats-settings.ts';
import { type FoundStream, findStream, makeStream } from './nats-stream.ts';
import { createPause } from './pause.ts';

export interface NatsBusOptions {
  readonly settings: NatsSettings;
  readonly cell: string;
  readonly node: string;
  readonly watch: StreamWatch;
}

/** Who must know what became of the events that were published. */
export interface StreamWatch {
  /** There is no stream, and one will be made; answers whether events have been published to the one that was there. */
  readonly missing: () => Promise<boolean>;
  /** Told of the stream before anything is published to it; `hasLost` when acknowledged events are missing at its end. */
  readonly found: (identity: string, hasLost: boolean) => Promise<void>;
}

interface Ready {
  readonly publisher: NatsPublisher;
  readonly manager: JetStreamManager;
  readonly stream: FoundStream;
}

const retryMs = { first: 250, max: 5_000 };
/**
 * Between the moment from which nobody reads on from where the lost stream ended, and the new stream. Whatever was read
 * before is published into nothing in this time, and so not before what belongs in front of it.
 */
const settleMs = 1_000;

/** NATS: events to a JetStream stream. It is there at once, and works as soon as NATS does. */
export function connectNatsBus({ log }: { readonly log: Logger }, options: NatsBusOptions): EventBus {
  const { settings, cell, node, watch } = options;
  const counts = { published: 0, duplicates: 0, reconnects: 0 };
  const changeListeners: (() => void)[] = [];
  const retry = createPause();
  const settling = createPause();
  let publisher: NatsPublisher | undefined;
  let ready: Ready | undefined;
  let preparing: Promise<void> | undefined;
  let isClosed = false;
  /** What JetStream has said it has, to notice when it does not any more. */
  let known = { identity: '', seq: 0 };

  const link = openNatsLink({ log }, settings, {
    name: `dstc ${node}`,
    onUp(connection, isNew) {
      if (isNew) {
        publisher?.close();
        publisher = createNatsPublisher(connection);
      } else counts.reconnects += 1;
      prepare(connection);
    },
    onDown() {
      publisher?.abandon('the connection to NATS was lost');
      setReady(undefined);
      retry.end();
    },
  });

  function setReady(next: Ready | undefined): void {
    const wasReady = ready !== undefined;
    ready = next;
    if (wasReady !== (next !== undefined)) for (const listener of changeListeners) listener();
  }

  function prepare(connection: NatsConnection): void {
    setReady(undefined);
    preparing ??= prepareOn(connection).finally(() => {
      preparing = undefined;
      // The way was lost and found again meanwhile.
      const current = link.current();
      if (current !== undefined && ready === undefined && !isClosed) prepare(current);
    });
  }

  /** Until there is a stream, or the connection is gone. */
  async function prepareOn(connection: NatsConnection): Promise<void> {
    let waitMs = retryMs.first;
    let wasTold = false;
    while (!isClosed && link.current() === connection && publisher !== undefined) {
      try {
        const manager = await jetstreamManager(connection, { checkAPI: false });
        const stream = (await findStream(manager, settings, cell)) ?? (await makeAnew(manager));
        await watch.found(stream.identity, stream.identity === known.identity && stream.lastSeq < known.seq);
        known = { identity: stream.identity, seq: stream.lastSeq };
        if (link.current() !== connection) return;
        log.info({ stream: stream.name, differences: stream.differences }, 'events go to JetStream');
        return setReady({ publisher, manager, stream });
      } catch (error) {
        log[wasTold ? 'debug' : 'warn']({ err: error, stream: settings.stream }, 'the stream cannot be used yet');
        wasTold = true;
        await retry.forMs(waitMs);
        waitMs = Math.min(waitMs * 2, retryMs.max);
      }
    }
  }

  async function makeAnew(manager: JetStreamManager): Promise<FoundStream> {
    if (await watch.missing()) {
      log.warn({ stream: settings.stream }, 'the stream is gone; it is made anew, and filled from Postgres');
      await settling.forMs(settleMs);
    }
    return makeStream(manager, settings, cell);
  }

  /** One promise for all: one for each message costs as much as to send it. */
  function publishTo(target: Ready, messages: readonly BusMessage[]): Promise<readonly (Error | undefined)[]> {
    return new Promise((resolve) => {
      const outcomes = new Array<Error | undefined>(messages.length);
      let underWay = messages.length;
      function end(index: number, error: Error | undefined): void {
        outcomes[index] = error === undefined ? undefined : lookAfter(target, error);
        underWay -= 1;
        if (underWay === 0) resolve(outcomes);
      }
      if (underWay === 0) resolve(outcomes);
      target.publisher.publish(messages, { isOnce: true }, (index, outcome) => {
        if (outcome instanceof Error) return end(index, outcome);
        if (isPlain(target, outcome)) {
          accept(target, outcome);
          return end(index, undefined);
        }
        const message = messages[index];
        if (message === undefined) throw new Error(`message ${index} was acknowledged, and not sent`);
        settle(target, message, outcome).then(
          () => end(index, undefined),
          (error: Error) => end(index, error),
        );
      });
    });
  }

  /** Of an acknowledgement that is not as it mostly is. */
  async function settle(target: Ready, message: BusMessage, ack: PublishAck): Promise<void> {
    if (ack.stream !== target.stream.name) {
      throw new PublishRefusedError(`the stream ${ack.stream} has taken an event`, false);
    }
    if (isPlain(target, ack)) return accept(target, ack);
    counts.duplicates += 1;
    // That it was seen does not say that it is still there.
    if (await has(target, ack.seq, message.id)) return;
    const next = await new Promise<PublishAck | Error>((settled) => {
      target.publisher.publish([message], { isOnce: false }, (_, outcome) => settled(outcome));
    });
    if (next instanceof Error) throw next;
    return settle(target, message, next);
  }

  function accept({ stream }: Ready, { seq }: PublishAck): void {
    if (known.identity === stream.identity && seq > known.seq) known.seq = seq;
    counts.published += 1;
  }

  /** A stream that is gone is made anew. */
  function lookAfter(target: Ready, error: Error): Error {
    const connection = link.current();
    const isUnheard = error instanceof PublishRefusedError && error.isUnheard;
    if (isUnheard && ready === target && connection !== undefined) prepare(connection);
    return error;
  }

  function isPlain({ stream }: Ready, ack: PublishAck): boolean {
    return ack.duplicate !== true && ack.stream === stream.name;
  }

  async function has({ manager, stream }: Ready, seq: number, id: string): Promise<boolean> {
    try {
      const stored = await manager.streams.getMessage(stream.name, { seq });
      return stored?.header.get('Nats-Msg-Id') === id;
    } catch (error) {
      throw new BusAwayError(`whether event ${id} is stored is not known`, error);
    }
  }

  return {
    counts,
    isAble: () => ready !== undefined,
    onChange: (listener) => void changeListeners.push(listener),
    publish(messages) {
      const target = ready;
      if (target === undefined) return Promise.resolve(messages.map(() => new BusAwayError('NATS is away')));
      return publishTo(target, messages);
    },
    async close() {
      isClosed = true;
      retry.end();
      settling.end();
      publisher?.close();
      setReady(undefined);
      await link.close();
      await preparing;
    },
  };
}
