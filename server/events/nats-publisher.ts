import { createInbox, type Msg, MsgHdrsImpl, type NatsConnection } from '@nats-io/transport-node';
import { BusAwayError, type BusMessage } from './bus.ts';

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
  /** With `isOnce`, JetStream drops the message when it has seen the id within its window. */
  readonly publish: (message: BusMessage, options: { readonly isOnce: boolean }, settled: Settled) => void;
  /** Nobody will hear of what is under way. */
  readonly abandon: (why: string) => void;
  readonly close: () => void;
}

/** Told once of what became of a message. */
export type Settled = (outcome: PublishAck | Error) => void;

interface Pending {
  readonly settled: Settled;
  readonly sentMs: number;
}

const ackMsMax = 5_000;
const lookIntervalMs = 1_000;

export function createNatsPublisher(connection: NatsConnection): NatsPublisher {
  const inbox = createInbox();
  /** In the order in which they were sent. */
  const pending = new Map<string, Pending>();
  let count = 0;

  const subscription = connection.subscribe(`${inbox}.*`, {
    callback(error, message) {
      const token = message.subject.slice(inbox.length + 1);
      const waiting = pending.get(token);
      if (waiting === undefined) return;
      pending.delete(token);
      waiting.settled(
        error === null ? outcomeOf(message) : new BusAwayError('an acknowledgement could not be read', error),
      );
    },
  });

  const timer = setInterval(() => {
    const nowMs = performance.now();
    for (const [token, { sentMs, settled }] of pending) {
      if (nowMs - sentMs < ackMsMax) break;
      pending.delete(token);
      settled(new BusAwayError(`NATS has not acknowledged an event in ${ackMsMax} ms`));
    }
  }, lookIntervalMs);
  timer.unref();

  return {
    publish({ id, subject, headers, data }, { isOnce }, settled) {
      count += 1;
      const token = count.toString(36);
      pending.set(token, { settled, sentMs: performance.now() });
      try {
        connection.publish(subject, data, {
          reply: `${inbox}.${token}`,
          headers: new EncodedHeaders(headers, isOnce ? id : undefined),
        });
      } catch (error) {
        pending.delete(token);
        settled(new BusAwayError(`event ${id} could not be sent to NATS`, error));
      }
    },
    abandon(why) {
      const abandoned = [...pending.values()];
      pending.clear();
      for (const { settled } of abandoned) settled(new BusAwayError(why));
    },
    close() {
      clearInterval(timer);
      if (!connection.isClosed()) subscription.unsubscribe();
      this.abandon('the connection to NATS is closed');
    },
  };
}

/**
 * Headers that are written and never read: the client's own build a map of lists first, which costs as much as all the rest
 * of an event. Their values are printable ASCII already.
 */
class EncodedHeaders extends MsgHdrsImpl {
  readonly #text: string;

  constructor(headers: BusMessage['headers'], id: string | undefined) {
    super();
    let text = 'NATS/1.0\r\n';
    for (const [name, value] of headers) text += `${name}: ${value}\r\n`;
    if (id !== undefined) text += `Nats-Msg-Id: ${id}\r\n`;
    this.#text = `${text}\r\n`;
  }

  override encode(): Uint8Array {
    return Buffer.from(this.#text, 'latin1');
  }
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
