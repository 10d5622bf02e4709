import type { ServiceImplSpec } from '@connectrpc/connect';
import type { Server } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';

export interface Health {
  /** Says for good that the node does not serve any more. */
  drain(): void;
  stop(): void;
}

const pollIntervalMs = 5_000;

/** `grpc.health.v1` for each service and, under the empty name, for the node: SERVING while `ready` resolves. */
export async function addHealth(
  deps: { readonly ready: () => Promise<void> },
  server: Server,
  services: readonly ServiceImplSpec[],
): Promise<Health> {
  const names = ['', ...services.map(({ service }) => service.typeName)];
  const health = new HealthImplementation(Object.fromEntries(names.map((name) => [name, 'NOT_SERVING'])));
  health.addToServer(server);
  let state: 'SERVING' | 'NOT_SERVING' = 'NOT_SERVING';
  let draining = false;

  async function poll(): Promise<void> {
    const found = await deps.ready().then(
      () => 'SERVING' as const,
      () => 'NOT_SERVING' as const,
    );
    if (!draining) set(found);
  }

  function set(found: 'SERVING' | 'NOT_SERVING'): void {
    if (found === state) return;
    state = found;
    for (const name of names) health.setStatus(name, found);
  }

  await poll();
  const timer = setInterval(() => void poll(), pollIntervalMs);
  timer.unref();

  return {
    drain() {
      draining = true;
      set('NOT_SERVING');
    },
    stop: () => clearInterval(timer),
  };
}
