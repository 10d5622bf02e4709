import { setTimeout as pause } from 'node:timers/promises';
import { AckPolicy, type Consumer, DeliverPolicy, type JsMsg, jetstreamManager } from '@nats-io/jetstream';
import { connect, nanos } from '@nats-io/transport-node';

/** An event that somebody has seen, as its headers tell of it. */
export interface Sighting {
  /** The id of a task; of anything else its kind, namespace and name. */
  readonly subject: string;
  readonly sequence: number;
  readonly id: string;
}

export interface StreamReaderOptions {
  readonly url: string;
  readonly stream: string;
  readonly signal: AbortSignal;
}

const retryMs = 200;
const messagesMax = 1_000;
const fetchMs = 1_000;

/**
 * Reads a whole stream as any consumer of JetStream would, and goes on with what comes, through restarts of the server; a
 * stream that was made anew is read from its beginning. Tells of what it has seen with the life of the stream that had it.
 */
export async function readStream(
  { url, stream, signal }: StreamReaderOptions,
  see: (life: string, events: readonly Sighting[]) => void,
): Promise<void> {
  const connection = await connect({
    ...{ servers: url, name: 'witness', maxReconnectAttempts: -1, reconnectTimeWait: retryMs },
    waitOnFirstConnect: true,
  });
  const close = () => void connection.close();
  signal.addEventListener('abort', close);
  if (signal.aborted) close();
  const manager = await jetstreamManager(connection, { checkAPI: false });
  let life = '';
  let next = 1;

  async function fetch(consumer: Consumer): Promise<number> {
    const seen: Sighting[] = [];
    try {
      for await (const message of await consumer.fetch({ max_messages: messagesMax, expires: fetchMs })) {
        if (message.seq !== next) throw new Error(`message ${message.seq} came instead of ${next}`);
        seen.push(sightingOf(message));
        next += 1;
      }
    } finally {
      if (seen.length > 0) see(life, seen);
    }
    return seen.length;
  }

  while (!signal.aborted) {
    try {
      const { created, state } = await manager.streams.info(stream);
      if (created !== life) [life, next] = [created, 1];
      // What the server has lost of its end comes again.
      next = Math.min(next, state.last_seq + 1);
      const { name } = await manager.consumers.add(stream, {
        ...{ ack_policy: AckPolicy.None, mem_storage: true, inactive_threshold: nanos(30 * fetchMs) },
        ...{ deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: next },
      });
      const consumer = await manager.jetstream().consumers.get(stream, name);
      // One that is gone, with the server or with the stream, gives nothing for ever.
      while (!signal.aborted) if ((await fetch(consumer)) === 0) await consumer.info();
    } catch {
      // The server is away, or the stream is not there yet: both are what a reader lives with.
      await pause(retryMs);
    }
  }
  signal.removeEventListener('abort', close);
  await connection.closed();
}

function sightingOf({ headers }: JsMsg): Sighting {
  const header = (name: string) => decodeURIComponent(headers?.get(`ce-${name}`) ?? '');
  // Such as dstc.task.succeeded.v1.
  const [, kind = ''] = header('type').split('.');
  return {
    subject: kind === 'task' ? header('subject') : `${kind}/${header('namespace')}/${header('subject')}`,
    sequence: Number(header('sequence')),
    id: header('id'),
  };
}
