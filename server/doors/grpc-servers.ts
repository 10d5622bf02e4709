import { EventEmitter } from 'node:events';
import type { Server } from '@grpc/grpc-js';

/** grpc-js offers no way to its HTTP/2 servers. Its version is pinned, and another shape stops the start. */
export function http2ServersOf(server: Server): readonly EventEmitter[] {
  const servers: unknown = Reflect.get(server, 'http2Servers');
  if (!(servers instanceof Map) || servers.size === 0)
    throw new Error('grpc-js keeps its HTTP/2 servers elsewhere now');
  return [...servers.keys()].filter((candidate): candidate is EventEmitter => candidate instanceof EventEmitter);
}
