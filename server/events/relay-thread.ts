import { parentPort, workerData } from 'node:worker_threads';
import { pino } from 'pino';
import { openSqlDatabase } from '../store/sql-database.ts';
import { connectNatsBus } from './nats-bus.ts';
import { startRelay } from './relay.ts';
import type { FromRelay, RelayThreadData, ToRelay } from './relay-messages.ts';
import { createStreamWatch } from './stream-watch.ts';

/** One reads, one stores how far that came, one looks after the shards. */
const connections = 3;
const tellIntervalMs = 1_000;

if (parentPort === null) throw new Error('the relay runs in a thread of a coordinator');
run(parentPort, workerData);

/** The relay with its own ways to Postgres and NATS; see `start-relay.ts`. */
function run(port: NonNullable<typeof parentPort>, { databaseUrl, logLevel, cell, node, nats }: RelayThreadData): void {
  const tell = (message: FromRelay) => port.postMessage(message);
  const log = pino(
    { level: logLevel, base: null, timestamp: false },
    { write: (line) => tell({ kind: 'line', line }) },
  );
  const database = openSqlDatabase({ url: databaseUrl, connections, applicationName: `dstc ${node} relay` });
  const listeners: (() => void)[] = [];
  const eventsWritten = { listen: (listener: () => void) => void listeners.push(listener) };
  const watch = createStreamWatch({ database, log }, nats.maxAgeMs);
  const bus = connectNatsBus({ log }, { settings: nats, cell, node, watch });
  const relay = startRelay({ database, log, node, eventsWritten, bus }, { cell, format: nats.format });
  const tellState = () =>
    tell({ kind: 'state', lagMs: relay.lagMs(), shardCount: relay.shardCount(), counts: bus.counts });
  const timer = setInterval(tellState, tellIntervalMs);

  async function stop(): Promise<void> {
    clearInterval(timer);
    await relay.stop();
    await bus.close();
    await database.close();
    tellState();
    port.close();
  }

  port.on('message', (message: ToRelay) => {
    if (message === 'stop') void stop();
    else for (const listener of listeners) listener();
  });
}
