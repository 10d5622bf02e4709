import { readFileSync } from 'node:fs';
import {
  type Authenticator,
  connect,
  credsAuthenticator,
  type NatsConnection,
  type NodeConnectionOptions,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from '@nats-io/transport-node';
import type { Logger } from 'pino';
import type { NatsSettings } from './nats-settings.ts';
import { createPause } from './pause.ts';

/** The way to NATS, which comes back whenever it is lost. */
export interface NatsLink {
  /** The connection while it stands. */
  readonly current: () => NatsConnection | undefined;
  readonly close: () => Promise<void>;
}

export interface NatsLinkOptions {
  /** How NATS shows this node in its list of connections. */
  readonly name: string;
  /** A connection was made: anew, or the old one again. */
  readonly onUp: (connection: NatsConnection, isNew: boolean) => void;
  readonly onDown: () => void;
}

const connectMsMax = 3_000;
const retryMs = { first: 250, max: 2_000 };
/** A dead way is noticed within twice this time. */
const pingIntervalMs = 5_000;

/** Connects in the background, for as long as it takes; an outage is told once. */
export function openNatsLink(
  { log }: { readonly log: Logger },
  settings: NatsSettings,
  options: NatsLinkOptions,
): NatsLink {
  const { onUp, onDown } = options;
  const pause = createPause();
  let connection: NatsConnection | undefined;
  let isUp = false;
  let isClosed = false;
  let wasToldAway = false;
  const ended = connectOn();

  /** A connection brings itself back; only one that gave up for good is replaced. */
  async function connectOn(): Promise<void> {
    let waitMs = retryMs.first;
    while (!isClosed) {
      try {
        connection = await connect(connectionOptions(settings, options.name));
        waitMs = retryMs.first;
        await serve(connection);
      } catch (error) {
        tellAway(error);
        await pause.forMs(waitMs * (0.5 + Math.random() / 2));
        waitMs = Math.min(waitMs * 2, retryMs.max);
      }
    }
  }

  async function serve(live: NatsConnection): Promise<void> {
    if (isClosed) return live.close();
    up(live, true);
    for await (const status of live.status()) {
      if (status.type === 'disconnect') down();
      else if (status.type === 'reconnect') up(live, false);
      else if (status.type === 'error') log.warn({ err: status.error }, 'NATS has complained');
    }
    const why = await live.closed();
    down(why ?? undefined);
  }

  function up(live: NatsConnection, isNew: boolean): void {
    if (isUp) return;
    isUp = true;
    wasToldAway = false;
    log.info({ server: live.getServer(), version: live.info?.version }, 'connected to NATS');
    onUp(live, isNew);
  }

  function down(why?: Error): void {
    if (isUp) {
      isUp = false;
      onDown();
    }
    if (!isClosed) tellAway(why);
  }

  function tellAway(error: unknown): void {
    if (wasToldAway || isClosed) return;
    wasToldAway = true;
    log.warn({ err: error, servers: settings.servers }, 'NATS is away; events wait in Postgres and tasks go on');
  }

  return {
    current: () => (isUp ? connection : undefined),
    async close() {
      isClosed = true;
      isUp = false;
      pause.end();
      await connection?.close();
      await ended;
    },
  };
}

function connectionOptions(settings: NatsSettings, name: string): NodeConnectionOptions {
  const { servers, hasTls, caFile, certFile, keyFile } = settings;
  const files = {
    ...(caFile !== undefined && { caFile }),
    ...(certFile !== undefined && { certFile }),
    ...(keyFile !== undefined && { keyFile }),
  };
  const authenticator = authenticatorOf(settings);
  return {
    servers: [...servers],
    name,
    timeout: connectMsMax,
    pingInterval: pingIntervalMs,
    maxPingOut: 2,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () => retryMs.first * (1 + Math.random()),
    // A node's own hints are no news to it.
    noEcho: true,
    // Credentials may be wrong for a while, such as when they are renewed.
    ignoreAuthErrorAbort: true,
    noAsyncTraces: true,
    ...(hasTls && { tls: files }),
    ...(authenticator !== undefined && { authenticator }),
  };
}

function authenticatorOf(settings: NatsSettings): Authenticator | undefined {
  const { credentialsFile, nkeyFile, token, user, password } = settings;
  if (credentialsFile !== undefined) return credsAuthenticator(() => readFileSync(credentialsFile));
  if (nkeyFile !== undefined) return nkeyAuthenticator(() => Buffer.from(readFileSync(nkeyFile, 'utf8').trim()));
  if (token !== undefined) return tokenAuthenticator(token);
  if (user !== undefined) return usernamePasswordAuthenticator(user, password);
  return undefined;
}
