import type { Logger } from 'pino';
import type { Database } from '../store/database.ts';
import type { EventBus } from './bus.ts';
import { createLocalBus } from './local-bus.ts';
import { connectNatsBus } from './nats-bus.ts';
import type { NatsSettings } from './nats-settings.ts';
import { startRelay } from './relay.ts';
import type { ShardReader, ShardReaderDeps } from './shard-reader.ts';
import { createStreamWatch } from './stream-watch.ts';

export interface EventsDeps extends ShardReaderDeps {
  readonly database: Database;
  readonly log: Logger;
}

export interface EventsOptions {
  readonly cell: string;
  readonly node: string;
  /** Undefined without NATS. */
  readonly nats: NatsSettings | undefined;
}

/** What of a node goes out to other nodes, and to whoever reads the stream. */
export interface Events {
  readonly bus: EventBus;
  /** Those who have to see every event. */
  readonly readers: readonly ShardReader[];
  readonly stop: () => Promise<void>;
}

export function startEvents(deps: EventsDeps, { cell, node, nats }: EventsOptions): Events {
  if (nats === undefined) {
    const bus = createLocalBus().join();
    // Nobody would read what is published.
    return { bus, readers: [], stop: bus.close };
  }
  const watch = createStreamWatch(deps, nats.maxAgeMs);
  const bus = connectNatsBus(deps, { settings: nats, cell, node, watch });
  const relay = startRelay({ ...deps, bus }, { cell, format: nats.format });
  return {
    bus,
    readers: [relay],
    async stop() {
      await relay.stop();
      await bus.close();
    },
  };
}
