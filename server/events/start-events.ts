import type { HintChannel } from './hint-channel.ts';
import { createLocalBus } from './local-bus.ts';
import { connectNatsHints } from './nats-hints.ts';
import type { NatsSettings } from './nats-settings.ts';
import type { ShardReaderDeps } from './shard-reader.ts';
import { type Relay, startRelayThread } from './start-relay.ts';

export interface EventsOptions {
  readonly databaseUrl: string;
  readonly cell: string;
  /** Undefined without NATS. */
  readonly nats: NatsSettings | undefined;
}

/** What of a node goes out to other nodes, and to whoever reads the stream. */
export interface Events {
  readonly hints: HintChannel;
  /** Undefined without NATS: nobody would read what is published. */
  readonly relay: Relay | undefined;
  readonly stop: () => Promise<void>;
}

export function startEvents(deps: ShardReaderDeps, { databaseUrl, cell, nats }: EventsOptions): Events {
  if (nats === undefined) {
    const { hints } = createLocalBus().join();
    return { hints, relay: undefined, stop: hints.close };
  }
  const hints = connectNatsHints(deps, { settings: nats, cell, node: deps.node });
  const relay = startRelayThread(deps, { databaseUrl, cell, nats });
  return {
    hints,
    relay,
    async stop() {
      await Promise.all([relay.stop(), hints.close()]);
    },
  };
}
