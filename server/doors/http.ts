import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { ServiceImplSpec } from '@connectrpc/connect';
import type { Registry } from 'prom-client';
import { DstcError } from '../domain/errors.ts';
import { afterMs } from './after-ms.ts';
import { type Door, type DoorDeps, isAddressInfo, listenError, parseAddress } from './door.ts';
import type { DoorLimits } from './door-limits.ts';
import { allowOrigins } from './http-cors.ts';
import { sendErrorToSocket } from './http-error.ts';
import { createHttpEvents } from './http-events.ts';
import { createHttpPages } from './http-pages.ts';
import { endUnreadRequest } from './http-response.ts';
import { createHttpRpcHandler } from './http-rpc.ts';
import type { EventIntake } from './services/publish-events.ts';
import type { Tls } from './tls.ts';

export interface HttpDoorOptions {
  readonly address: string;
  /** From `mountServices`. */
  readonly services: readonly ServiceImplSpec[];
  readonly limits: DoorLimits;
  readonly tls?: Tls | undefined;
  /** What takes CloudEvents; without it there is no place for them. */
  readonly events?: EventIntake | undefined;
  /** Such as `https://console.example.com`. Default: none. */
  readonly corsOrigins?: readonly string[];
}

/** For the answers to calls that a node gives up when it ends. */
const farewellMs = 100;
const headersTimeoutMs = 10_000;
const keepAliveTimeoutMs = 65_000;
const connectionsCheckingIntervalMs = 2_000;

/** Serves Connect, gRPC-Web, JSON, health and metrics on HTTP/1.1. Rejects when the address cannot be had. */
export async function startHttpDoor(
  deps: DoorDeps & { readonly metrics?: Registry },
  options: HttpDoorOptions,
): Promise<Door> {
  const { limits } = options;
  const stopping = new AbortController();
  const rpcDeps = { log: deps.log, callers: deps.callers, limits, stopped: stopping.signal };
  const handleRpc = createHttpRpcHandler(rpcDeps, options.services);
  const handleEvents = options.events && createHttpEvents(rpcDeps, options.events);
  const handlePage = createHttpPages(deps);
  const origins = new Set(options.corsOrigins ?? []);

  let draining = false;
  const server = createServer(limits, options.tls, (request, response) => {
    // Its next request is for another node.
    if (draining) response.setHeader('connection', 'close');
    // A client that goes away mid-response is no fault; without a listener it would end the process.
    response.on('error', () => undefined);
    if (allowOrigins(origins, request, response)) return;
    if (handleRpc(request, response)) return;
    if (handleEvents?.(request, response)) return;
    endUnreadRequest(request, response);
    void handlePage(request, response);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuse(limits, error, socket as Socket));
  await listen(server, options.address);
  const bound = server.address();
  if (!isAddressInfo(bound)) throw new Error('the HTTP port has no address');

  return {
    address: { host: bound.address, port: bound.port },
    async drain() {
      draining = true;
      server.closeIdleConnections();
      await Promise.race([closed(server), afterMs(limits.drainMs)]);
    },
    async stop() {
      stopping.abort(new DstcError('NODE_DRAINING', 'the node is shutting down', { retryDelayMs: 1_000 }));
      const ended = closed(server);
      // What is under way is answered with that, as far as its reader takes it.
      await Promise.race([ended, afterMs(farewellMs)]);
      server.closeAllConnections();
      await ended;
    },
  };
}

function createServer(limits: DoorLimits, tls: Tls | undefined, onRequest: RequestListener): Server {
  const options: ServerOptions<typeof IncomingMessage> = {
    maxHeaderSize: limits.headerBytesMax,
    headersTimeout: headersTimeoutMs,
    // The RPCs end bodies at their own deadline; this is for the rest.
    requestTimeout: limits.unaryDeadlineMsMax + headersTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    connectionsCheckingInterval: connectionsCheckingIntervalMs,
    // Two values of a header that may stand once are how requests are smuggled past proxies.
    joinDuplicateHeaders: false,
    insecureHTTPParser: false,
    noDelay: true,
  };
  if (tls === undefined) return createHttpServer(options, onRequest);
  const server = createHttpsServer({ ...options, ...tls.options(), handshakeTimeout: headersTimeoutMs }, onRequest);
  tls.onChange((next) => server.setSecureContext(next));
  return server;
}

/** Requests that Node's parser refuses. */
function refuse(limits: DoorLimits, error: NodeJS.ErrnoException, socket: Socket): void {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      sendErrorToSocket(
        socket,
        new DstcError('MESSAGE_TOO_LARGE', `the headers are larger than ${limits.headerBytesMax} bytes`, {
          metadata: { limit_bytes: String(limits.headerBytesMax) },
        }),
        '431 Request Header Fields Too Large',
      );
      return;
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      sendErrorToSocket(
        socket,
        new DstcError('DEADLINE_EXCEEDED', 'the request did not arrive in time'),
        '408 Request Timeout',
      );
      return;
    case 'ECONNRESET':
    // Cut off in its middle: whoever sent it, or what stands between, is to take it for a lost connection.
    case 'HPE_INVALID_EOF_STATE':
      socket.destroy();
      return;
    default:
      sendErrorToSocket(
        socket,
        new DstcError('FIELD_INVALID', 'this is not an HTTP/1.1 request; gRPC has its own port'),
        '400 Bad Request',
      );
  }
}

function listen(server: Server, address: string): Promise<void> {
  const { host, port } = parseAddress(address);
  return new Promise((resolve, reject) => {
    const onError = (error: Error) => reject(listenError(address, 'DSTC_HTTP_ADDRESS', error));
    server.once('error', onError);
    server.listen({ host, port }, () => {
      server.off('error', onError);
      resolve();
    });
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) resolve();
    else server.close(() => resolve());
  });
}
