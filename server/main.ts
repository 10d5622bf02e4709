import { setTimeout as pause } from 'node:timers/promises';
import { type DestinationStream, type Logger, pino } from 'pino';
import { type Config, readConfig } from './config.ts';
import { startCoordinator } from './coordinator.ts';
import { DstcError } from './domain/errors.ts';
import { migrate } from './store/migrate.ts';

const usage = `usage: main.ts serve     run a coordinator node (migrates the schema first)
       main.ts migrate   bring the schema up to date and exit`;

/** Settings are read from the environment; see docs/configuration.md. */
async function main(command: string | undefined): Promise<void> {
  switch (command) {
    case 'serve':
      return serve();
    case 'migrate':
      return bringUpToDate(readConfig(process.env), (text) => console.error(`dstc: ${text}`));
    default:
      console.error(usage);
      process.exitCode = 2;
  }
}

async function bringUpToDate({ databaseUrl }: Config, tell: (text: string) => void): Promise<void> {
  const { rebasedEvents, partitionsLeft } = await migrate(databaseUrl);
  if (rebasedEvents > 0)
    tell(`this database was restored from another server: ${rebasedEvents} events were put in order`);
  for (const { name, why } of partitionsLeft) tell(`${name} is left for a node that runs to make: ${why}`);
}

/** A node and its Postgres are often started together, and a failover takes less. */
const withoutPostgresMsMax = 60_000;
const againMs = 1_000;

/** Brings the schema up to date, and waits for Postgres for a while when it cannot be reached. */
async function waitUntilUpToDate(config: Config, log: Logger): Promise<void> {
  const deadlineMs = performance.now() + withoutPostgresMsMax;
  for (;;) {
    try {
      return await bringUpToDate(config, (text) => log.warn(text));
    } catch (error) {
      const isAway = error instanceof DstcError && error.reason === 'DATABASE_UNAVAILABLE';
      if (!isAway || performance.now() > deadlineMs) throw error;
      log.warn({ err: error }, 'Postgres cannot be reached; another try follows');
      await pause(againMs);
    }
  }
}

/** A supervisor signals a whole process group, and whoever started this one passes the same signal on. */
const sameSignalMs = 100;

async function serve(): Promise<void> {
  const config = readConfig(process.env);
  const log = pino(
    { level: config.logLevel, base: { node: config.nodeName } },
    pino.destination(2) as DestinationStream,
  );
  await waitUntilUpToDate(config, log);
  const coordinator = await startCoordinator(config, log);
  let stoppingSinceMs: number | undefined;
  const stop = async (signal: string) => {
    if (stoppingSinceMs !== undefined) {
      if (performance.now() - stoppingSinceMs < sameSignalMs) return;
      log.warn({ signal }, 'stopping at once');
      process.exit(1);
    }
    stoppingSinceMs = performance.now();
    log.info({ signal }, 'draining; once more stops at once');
    await coordinator.drain();
    log.info('stopped');
    // At once: while Node takes itself apart nothing catches signals any more, and one that comes late would kill it.
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(signal));
  // Without its starter it would be an orphan.
  const onDisconnect = () => void stop('disconnect');
  process.on('disconnect', onDisconnect);

  const { grpcAddress, httpAddress } = coordinator;
  log.info({ grpc: grpcAddress, http: httpAddress }, 'ready');
  // A starter that waits for this process hears that it may go on.
  process.send?.({ kind: 'ready', grpcAddress, httpAddress });
}

/** Where the text says only that something cannot be had, its cause says why. */
function textOf({ message, cause }: Error): string {
  return cause instanceof Error && cause.message !== '' ? `${message}: ${cause.message}` : message;
}

try {
  await main(process.argv[2]);
} catch (error) {
  console.error(error instanceof Error && process.env.DSTC_DEBUG === undefined ? `dstc: ${textOf(error)}` : error);
  process.exitCode = 1;
}
