import type { NatsConnectionImpl } from '@nats-io/nats-core/internal';
import type { NatsConnection } from '@nats-io/transport-node';
import type { BusMessage } from './bus.ts';

/** Puts messages on the wire of a connection, many at a time. */
export interface NatsWire {
  /** With `isOnce`, JetStream drops the message when it has seen the id within its window. @throws RangeError */
  readonly add: (message: BusMessage, options: { readonly reply: string; readonly isOnce: boolean }) => void;
  /** Sends what was added. */
  readonly flush: () => void;
}

/** About what the server reads at a time, and what the client hands to the socket at a time. */
const blockLength = 32 * 1_024;
const lineEnd = '\r\n';

/**
 * Messages are written into a block of text, which the client sends as it sends its own commands. Its `publish` makes four
 * buffers of each message and copies them together, which costs as much as all the rest of an event: a backlog went out
 * with 29 us each, and with 20 since. What the client decides stays with it: servers, TLS, credentials, reconnects, order.
 */
export function createNatsWire(connection: NatsConnection): NatsWire {
  const { protocol } = connection as NatsConnectionImpl;
  let block = '';

  function flush(): void {
    if (block === '') return;
    protocol.sendCommand(Buffer.from(block));
    block = '';
  }

  return {
    add({ id, subject, headers, data }, { reply, isOnce }) {
      const head = `NATS/1.0${headers && lineEnd}${headers}${isOnce ? `\r\nNats-Msg-Id: ${id}` : ''}\r\n\r\n`;
      const bytes = head.length + Buffer.byteLength(data);
      const bytesMax = connection.info?.max_payload;
      // The server would end the connection.
      if (bytesMax !== undefined && bytes > bytesMax) throw new RangeError(`${bytes} bytes are more than ${bytesMax}`);
      block += `HPUB ${subject} ${reply} ${head.length} ${bytes}\r\n${head}`;
      if (typeof data === 'string') block += data;
      else {
        flush();
        protocol.sendCommand(data);
      }
      block += lineEnd;
      if (block.length >= blockLength) flush();
    },
    flush,
  };
}
