import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { BusCounts } from './bus.ts';
import type { FromRelay, RelayState, RelayThreadData, ToRelay } from './relay-messages.ts';
import { type ShardReader, type ShardReaderDeps, unreadEvents } from './shard-reader.ts';

/** The relay as the rest of its node sees it: as of the last second. */
export interface Relay extends Omit<ShardReader, 'look'> {
  readonly counts: () => BusCounts;
}

const reader = 'nats';
/** Events that are written close together are one hint. */
const gatherMs = 5;
const restartMs = 1_000;
/** After that, others take its shards when its lease ends. */
const stopMsMax = 5_000;
const idle: RelayState = {
  kind: 'state',
  lagMs: 0,
  shardCount: 0,
  counts: { published: 0, duplicates: 0, reconnects: 0 },
};

/**
 * The relay in a thread of its own, with its own connections: what it takes to publish events is as much as the tasks take
 * that they tell of, and neither is to wait for the other. A thread that fails is replaced, and goes on where it was.
 */
export function startRelayThread(deps: ShardReaderDeps, data: Omit<RelayThreadData, 'logLevel' | 'node'>): Relay {
  const { eventsWritten, log, node } = deps;
  let state = idle;
  /** Of threads that are gone. */
  let before = idle.counts;
  let gathering: NodeJS.Timeout | undefined;
  let restarting: NodeJS.Timeout | undefined;
  let isStopping = false;
  let thread = start();

  function start() {
    const workerData: RelayThreadData = { ...data, node, logLevel: log.level };
    const worker = new Worker(new URL('./relay-thread.ts', import.meta.url), { workerData });
    const exited = new Promise<void>((resolve) => {
      worker.once('exit', () => {
        before = sum(before, state.counts);
        state = { ...state, shardCount: 0, counts: idle.counts };
        if (!isStopping) restarting = setTimeout(() => (thread = start()), restartMs);
        resolve();
      });
    });
    worker.on('message', (message: FromRelay) => {
      if (message.kind === 'state') state = message;
      else write(log, message.line);
    });
    worker.on('error', (error) => log.error({ err: error }, 'the relay has failed; another one takes its place'));
    return { worker, exited };
  }

  function tell(message: ToRelay): void {
    thread.worker.postMessage(message);
  }

  eventsWritten.listen(() => {
    gathering ??= setTimeout(() => {
      gathering = undefined;
      tell('written');
    }, gatherMs);
  });

  return {
    reader,
    lagMs: () => state.lagMs,
    shardCount: () => state.shardCount,
    unread: () => unreadEvents(deps, reader),
    counts: () => sum(before, state.counts),
    async stop() {
      isStopping = true;
      clearTimeout(gathering);
      clearTimeout(restarting);
      tell('stop');
      const timer = setTimeout(() => void thread.worker.terminate(), stopMsMax);
      await thread.exited;
      clearTimeout(timer);
    },
  };
}

function sum(one: BusCounts, other: BusCounts): BusCounts {
  return {
    published: one.published + other.published,
    duplicates: one.duplicates + other.duplicates,
    reconnects: one.reconnects + other.reconnects,
  };
}

/** As if this thread had logged it. */
function write(log: Logger, line: string): void {
  const { level, msg, ...facts } = JSON.parse(line);
  const name = log.levels.labels[level];
  if (name !== undefined) log[name as 'info'](facts, msg);
}
