import { createInbox, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { BusAwayError, type BusMessage } from './bus.ts';
import { createNatsWire } from './nats-wire.ts';

/** What JetStream says of a message that it has stored. */
export interface PublishAck {
  readonly stream: string;
  readonly seq: number;
  readonly duplicate?: boolean;
}

/** JetStream has refused a message, or nothing stores its subject. */
export class PublishRefusedError extends Error {
  /** No stream listens to the subject. */
  readonly isUnheard: boolean;

  constructor(message: string, isUnheard: boolean) {
    super(message);
    this.name = 'PublishRefusedError';
    this.isUnheard = isUnheard;
  }
}

/**
 * Publishes over one connection and matches the acknowledgements, which all come to one inbox, with callbacks: a request of
 * the client costs a timer and a promise more for each message, which is more than all the rest of sending it.
 */
export interface NatsPublisher {
  /** See `NatsWire.add` for `isOnce`. */
  readonly publish: (messages: readonly BusMessage[], options: { readonly isOnce: boolean }, settled: Settled) => void;
  /** Nobody will hear of what is under way. */
  readonly abandon: (why: string) => void;
  readonly close: () => void;
}

/** Told once of what became of each message. */
export type Settled = (index: number, outcome: PublishAck | Error) => void;

/** Messages that were sent together. */
interface Wave {
  /** The number of the first one. */
  readonly first: number;
  readonly settled: Settled;
  readonly sentMs: number;
}

const ackMsMax = 5_000;
const lookIntervalMs = 1_000;

export function createNatsPublisher(connection: NatsConnection): NatsPublisher {
  const inbox = createInbox();
  const wire = createNatsWire(connection);
  /** By the numbers of the messages, in the order in which they were sent. */
  const pending = new Map<number, Wave>();
  let count = 0;

  function settle(number: number, wave: Wave, outcome: PublishAck | Error): void {
    pending.delete(number);
    wave.settled(number - wave.first, outcome);
  }

  const subscription = connection.subscribe(`${inbox}.*`, {
    callback(error, message) {
      const number = Number(message.subject.slice(inbox.length + 1));
      const wave = pending.get(number);
      if (wave === undefined) return;
      settle(
        number,
        wave,
        error === null ? outcomeOf(message) : new BusAwayError('an acknowledgement could not be read', error),
      );
    },
  });

  const timer = setInterval(() => {
    const nowMs = performance.now();
    for (const [number, wave] of pending) {
      if (nowMs - wave.sentMs < ackMsMax) break;
      settle(number, wave, new BusAwayError(`NATS has not acknowledged an event in ${ackMsMax} ms`));
    }
  }, lookIntervalMs);
  timer.unref();

  return {
    publish(messages, { isOnce }, settled) {
      const wave: Wave = { first: count, settled, sentMs: performance.now() };
      for (const message of messages) {
        const number = count;
        count += 1;
        pending.set(number, wave);
        try {
          wire.add(message, { reply: `${inbox}.${number}`, isOnce });
        } catch (error) {
          settle(number, wave, new BusAwayError(`event ${message.id} could not be sent to NATS`, error));
        }
      }
      wire.flush();
    },
    abandon(why) {
      for (const [number, wave] of [...pending]) settle(number, wave, new BusAwayError(why));
    },
    close() {
      clearInterval(timer);
      if (!connection.isClosed()) subscription.unsubscribe();
      this.abandon('the connection to NATS is closed');
    },
  };
}

function outcomeOf(message: Msg): PublishAck | Error {
  if (message.data.length === 0 && message.headers?.code === 503) {
    return new PublishRefusedError('no stream stores this subject', true);
  }
  const ack = parseAck(message);
  if (ack === undefined) return new PublishRefusedError('what acknowledged an event is no JetStream', false);
  if ('error' in ack) return new PublishRefusedError(`JetStream has refused an event: ${ack.error}`, false);
  return ack;
}

function parseAck(message: Msg): PublishAck | { readonly error: string } | undefined {
  try {
    const ack: unknown = JSON.parse(message.string());
    if (typeof ack !== 'object' || ack === null) return undefined;
    if ('error' in ack) return { error: JSON.stringify(ack.error) };
    if (!('stream' in ack) || typeof ack.stream !== 'string' || !('seq' in ack) || typeof ack.seq !== 'number') {
      return undefined;
    }
    return { stream: ack.stream, seq: ack.seq, duplicate: 'duplicate' in ack && ack.duplicate === true };
  } catch {
    return undefined;
  }
}
