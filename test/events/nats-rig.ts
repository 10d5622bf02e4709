import { AckPolicy, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { pino } from 'pino';
import type { EventBus } from '../../server/events/bus.ts';
import type { HintChannel } from '../../server/events/hint-channel.ts';
import { connectNatsBus, type StreamWatch } from '../../server/events/nats-bus.ts';
import { connectNatsHints } from '../../server/events/nats-hints.ts';
import type { NatsSettings } from '../../server/events/nats-settings.ts';
import type { TestNats } from '../setup/nats.ts';
import type { StoredMessage } from './bus-suite.ts';

const natsSettings: Omit<NatsSettings, 'servers'> = {
  ...{ hasTls: false, caFile: undefined, certFile: undefined, keyFile: undefined, credentialsFile: undefined },
  ...{ nkeyFile: undefined, token: undefined, user: undefined, password: undefined, stream: 'dstc', replicas: 1 },
  ...{ maxAgeMs: 24 * 3_600_000, maxBytes: 0, format: 'binary' },
};

export interface BusNode {
  readonly bus: EventBus;
  /** What the bus has said of its stream. */
  readonly told: string[];
  /** Resolves when the log has such a line. */
  readonly logged: (text: string) => Promise<void>;
}

/** A node's bus over a NATS server, or over what stands before it at another port. */
export function natsNode(
  nats: Pick<TestNats, 'port'>,
  settings: Partial<NatsSettings> = {},
  watch: Partial<StreamWatch> = {},
): BusNode {
  const told: string[] = [];
  const lines: string[] = [];
  const waiting: { text: string; resolve: () => void }[] = [];
  const write = (line: string) => {
    lines.push(line);
    for (const { text, resolve } of waiting) if (line.includes(text)) resolve();
  };
  const bus = connectNatsBus(
    { log: pino({ level: 'info' }, { write }) },
    {
      ...optionsOf(nats, settings),
      watch: {
        async missing() {
          told.push('missing');
          return false;
        },
        async found(_, hasLost) {
          told.push(hasLost ? 'found, with losses' : 'found');
        },
        ...watch,
      },
    },
  );
  return {
    bus,
    told,
    logged(text) {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (lines.some((line) => line.includes(text))) resolve();
      waiting.push({ text, resolve });
      return promise;
    },
  };
}

/** A node's hints. */
export function natsHints(nats: Pick<TestNats, 'port'>, settings: Partial<NatsSettings> = {}): HintChannel {
  return connectNatsHints({ log: pino({ level: 'silent' }) }, optionsOf(nats, settings));
}

function optionsOf({ port }: Pick<TestNats, 'port'>, settings: Partial<NatsSettings>) {
  return {
    settings: { ...natsSettings, servers: [`127.0.0.1:${port}`], ...settings },
    ...{ cell: 'dstc', node: 'node' },
  };
}

/** A consumer with a connection of its own. */
export interface NatsReader {
  readonly connection: NatsConnection;
  readonly manager: Awaited<ReturnType<typeof jetstreamManager>>;
  readonly stored: (stream?: string) => Promise<StoredMessage[]>;
  readonly close: () => Promise<void>;
}

export async function openNatsReader(nats: Pick<TestNats, 'port'>, token?: string): Promise<NatsReader> {
  const connection = await connect({
    servers: `127.0.0.1:${nats.port}`,
    ...(token !== undefined && { token }),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
  });
  const manager = await jetstreamManager(connection, { checkAPI: false });
  return {
    connection,
    manager,
    async stored(stream = 'dstc') {
      const { state } = await manager.streams.info(stream);
      if (state.messages === 0) return [];
      const { name } = await manager.consumers.add(stream, { ack_policy: AckPolicy.None });
      const consumer = await manager.jetstream().consumers.get(stream, name);
      const found: StoredMessage[] = [];
      for await (const message of await consumer.fetch({ max_messages: state.messages, expires: 10_000 })) {
        const headers = Object.fromEntries(Array.from(message.headers ?? [], ([key, [value = '']]) => [key, value]));
        const { 'Nats-Msg-Id': id = headers['ce-id'] ?? '', ...rest } = headers;
        found.push({ subject: message.subject, id, headers: rest, data: message.string() });
      }
      return found;
    },
    close: () => connection.close(),
  };
}
