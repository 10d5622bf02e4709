import { Server as TlsServer } from 'node:tls';
import type { ServiceImplSpec } from '@connectrpc/connect';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { afterMs } from './after-ms.ts';
import { type Door, type DoorDeps, formatAddress, listenError, parseAddress } from './door.ts';
import type { DoorLimits } from './door-limits.ts';
import { definitionOf, handlersOf } from './grpc-adapter.ts';
import { createArrivals } from './grpc-arrivals.ts';
import { addHealth } from './grpc-health.ts';
import { addReflection } from './grpc-reflection.ts';
import { http2ServersOf } from './grpc-servers.ts';
import type { Tls } from './tls.ts';

export interface GrpcDoorOptions {
  readonly address: string;
  /** From `mountServices`. */
  readonly services: readonly ServiceImplSpec[];
  readonly limits: DoorLimits;
  readonly tls?: Tls | undefined;
}

/** A connection that does not answer a ping in time is gone, with its streams, even if nobody has closed it. */
const keepaliveMs = 10_000;
const keepaliveTimeoutMs = 5_000;
/** Above this a session takes no further streams. In megabytes, as Node counts it. */
const sessionMemoryMegabytesMax = 64;

/** Serves gRPC, with health and reflection. Rejects when the address cannot be had. */
export async function startGrpcDoor(deps: DoorDeps, options: GrpcDoorOptions): Promise<Door> {
  const { limits, services } = options;
  const guarded = new Set(services.map(({ service }) => service.typeName));
  const arrivals = createArrivals({ log: deps.log, callers: deps.callers, limits }, guarded);
  const server = new Server({
    interceptors: [arrivals.interceptor],
    'grpc.max_receive_message_length': limits.messageBytesMax,
    // Our own check comes first and says why; this one must never fire before it.
    'grpc.max_send_message_length': limits.messageBytesMax,
    'grpc.max_concurrent_streams': limits.concurrentStreamsPerConnectionMax,
    'grpc.max_metadata_size': limits.headerBytesMax,
    'grpc.keepalive_time_ms': keepaliveMs,
    'grpc.keepalive_timeout_ms': keepaliveTimeoutMs,
    'grpc-node.max_session_memory': sessionMemoryMegabytesMax,
    // Channelz keeps counters for every call, which nobody reads here.
    'grpc.enable_channelz': 0,
  });
  for (const spec of services) {
    server.addService(definitionOf(spec), handlersOf({ log: deps.log, limits, arrivals }, spec));
  }
  addReflection(server, services);
  const health = await addHealth(deps, server, services);
  let port: number;
  try {
    port = await listen(server, options.address, options.tls);
    arrivals.attach(server);
    options.tls?.onChange((next) => {
      for (const listening of http2ServersOf(server)) {
        if (listening instanceof TlsServer) listening.setSecureContext(next);
      }
    });
  } catch (error) {
    health.stop();
    server.forceShutdown();
    throw listenError(options.address, 'DSTC_GRPC_ADDRESS', error);
  }

  return {
    address: { host: parseAddress(options.address).host, port },
    async drain() {
      health.drain();
      await Promise.race([shutdown(server), afterMs(limits.drainMs)]);
    },
    async stop() {
      health.stop();
      server.forceShutdown();
    },
  };
}

function listen(server: Server, address: string, tls: Tls | undefined): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(formatAddress(parseAddress(address)), credentialsOf(tls), (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}

function credentialsOf(tls: Tls | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const { cert, key, ca } = tls.options();
  // Node's servers speak TLS 1.2 at least unless told otherwise, which grpc-js has no way to do.
  return ServerCredentials.createSsl(ca ?? null, [{ cert_chain: cert, private_key: key }], ca !== undefined);
}

function shutdown(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.tryShutdown((error) => (error === undefined ? resolve() : reject(error)));
  });
}
