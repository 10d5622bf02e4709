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
 * Publishes over one connection and matches the acknowledgements, which all come to one inbox: a request of the client for
 * each message costs a timer and a promise more, which thousands a second feel.
 */
export interface NatsPublisher {
  /** With `isOnce`, JetStream drops the message when it has seen the id within its window. */
  readonly publish: (message: BusMessage, options: { readonly isOnce: boolean }) => Promise<PublishAck>;
  /** Nobody will hear of what is under way. */
  readonly abandon: (why: string) => void;
  readonly close: () => void;
}

interface Pending {
  readonly resolve: (ack: PublishAck) => void;
  readonly reject: (error: Error) => void;
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
      if (error !== null) waiting.reject(new BusAwayError('an acknowledgement could not be read', error));
      else settle(waiting, message);
    },
  });

  const timer = setInterval(() => {
    const nowMs = performance.now();
    for (const [token, { sentMs, reject }] of pending) {
      if (nowMs - sentMs < ackMsMax) break;
      pending.delete(token);
      reject(new BusAwayError(`NATS has not acknowledged an event in ${ackMsMax} ms`));
    }
  }, lookIntervalMs);
  timer.unref();

  return {
    publish({ id, subject, headers, data }, { isOnce }) {
      const { promise, resolve, reject } = Promise.withResolvers<PublishAck>();
      count += 1;
      const token = count.toString(36);
      pending.set(token, { resolve, reject, sentMs: performance.now() });
      try {
        connection.publish(subject, data, {
          reply: `${inbox}.${token}`,
          headers: new EncodedHeaders(headers, isOnce ? id : undefined),
        });
      } catch (error) {
        pending.delete(token);
        reject(new BusAwayError(`event ${id} could not be sent to NATS`, error));
      }
      return promise;
    },
    abandon(why) {
      for (const { reject } of pending.values()) reject(new BusAwayError(why));
      pending.clear();
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

function settle({ resolve, reject }: Pending, message: Msg): void {
  if (message.data.length === 0 && message.headers?.code === 503) {
    reject(new PublishRefusedError('no stream stores this subject', true));
    return;
  }
  const ack = parseAck(message);
  if (ack === undefined) reject(new PublishRefusedError('what acknowledged an event is no JetStream', false));
  else if ('error' in ack) reject(new PublishRefusedError(`JetStream has refused an event: ${ack.error}`, false));
  else resolve(ack);
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
