import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** A request as a receiver saw it. */
export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface HttpReceiver {
  readonly url: string;
  readonly port: number;
  readonly requests: readonly ReceivedRequest[];
  /** Resolves once there are this many requests, with all of them. */
  readonly received: (count: number) => Promise<readonly ReceivedRequest[]>;
  /** What is answered from now on. */
  answer: (request: ReceivedRequest, response: ServerResponse) => void;
  /** Connections that were opened so far. */
  readonly connections: () => number;
  readonly stop: () => Promise<void>;
}

/** A real HTTP server that takes everything, until it is told otherwise. */
export async function startHttpReceiver(port = 0): Promise<HttpReceiver> {
  const requests: ReceivedRequest[] = [];
  const waiting = new Set<() => void>();
  let connections = 0;
  const server: Server = createServer(async (incoming, response) => {
    const body = await text(incoming).catch(() => undefined);
    if (body === undefined) return;
    const { method = '', url: path = '', headers } = incoming;
    const request = { method, path, headers, body };
    requests.push(request);
    receiver.answer(request, response);
    for (const look of waiting) look();
  });
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const address = server.address() as AddressInfo;
  const receiver: HttpReceiver = {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    requests,
    received(count) {
      const { promise, resolve } = Promise.withResolvers<readonly ReceivedRequest[]>();
      const look = () => {
        if (requests.length < count) return;
        waiting.delete(look);
        resolve([...requests]);
      };
      waiting.add(look);
      look();
      return promise;
    },
    answer: (_request, response) => response.writeHead(204).end(),
    connections: () => connections,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return receiver;
}
