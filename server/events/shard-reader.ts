import type { Logger } from 'pino';
import { comparePositions, type EventPosition } from '../domain/event-position.ts';
import { countUnreadEvents } from '../store/event-readers.ts';
import { type EventPage, type StoredEvent, selectEventPage } from '../store/select-events.ts';
import type { SqlDatabase } from '../store/sql-database.ts';
import { createPause } from './pause.ts';
import { createShardHolds, type HeldShard } from './shard-holds.ts';

/** Somebody who has to see every event. */
export interface EventConsumer {
  /** Its places are kept under this name. */
  readonly reader: 'nats' | 'webhooks';
  /**
   * Deals with the next events of a shard, which are in order. Once it resolves they do not come again; when it rejects
   * they do, here or on another node, so that an event may come twice. When `signal` is aborted the shard is another
   * node's, and it is to come to an end soon, either way.
   */
  readonly deliver: (shard: number, events: readonly StoredEvent[], signal: AbortSignal) => Promise<void>;
  /** Whether this node can deliver at all now; while it cannot, others have its shards. */
  readonly isAble?: () => boolean;
  /**
   * The end of the stream while it wants no event at all: nothing is read then, and it is asked again each second. Undefined
   * when it wants any.
   */
  readonly unwantedBefore?: () => Promise<EventPosition | undefined>;
  /** Events of a shard that are delivered at a time. */
  readonly eventsMax: number;
}

/** Reads the shards that are this node's share, and hands what it finds to the consumer. */
export interface ShardReader {
  readonly reader: EventConsumer['reader'];
  /** How long the event that waits for longest has waited, over all shards and nodes, as of the last second. */
  readonly lagMs: () => number;
  /** How many events nobody has dealt with yet, over all nodes, up to 80,000; undefined when Postgres does not say. */
  readonly unread: () => Promise<number | undefined>;
  /** How many shards this node reads. */
  readonly shardCount: () => number;
  /** Asks at once whether the consumer is able, and looks for events. */
  readonly look: () => void;
  /** Lets what is under way end, though not for long, and hands the shards over. */
  readonly stop: () => Promise<void>;
}

export interface ShardReaderDeps {
  readonly database: SqlDatabase;
  /** Hints that there is something to read; without them it is found within a second. */
  readonly eventsWritten: { readonly listen: (listener: () => void) => void };
  readonly log: Logger;
  /** The name of this node. */
  readonly node: string;
}

/**
 * So that events which come close together are read together: a turn has its price, however few it finds, and events of large
 * turns cost half of what those of small ones do. The longer one takes, because there is much to read or the machine is
 * busy with tasks, the longer the next one waits, unless it is behind.
 */
const gatherMsMin = 10;
const gatherMsMax = 50;
const gatherShare = 2;
/** A node that finds many events at a time is under full load: there it is worth more that they cost tasks little. */
const loadedEvents = 1_000;
const loadedGatherMsMax = 200;
/** Positions are stored as often as this; whoever goes on after a crash delivers what was delivered since once more. */
const storeIntervalMs = 250;
/** While nobody wants any event: hints are not worth a look then, and what is wanted next is found after this time. */
const restMs = 1_000;
const failureMs = { first: 100, max: 10_000 };
const stopMsMax = 2_000;
/** Of each shard, so that a count stays cheap however long an outage is. */
const unreadMax = 10_000;

/**
 * Reads on from the last position: one statement for all shards of this node, then a delivery for each shard, side by
 * side. Now and then Postgres is told how far they came.
 */
export function startShardReader({ database, eventsWritten, log, node }: ShardReaderDeps, consumer: EventConsumer) {
  const { reader, isAble = () => true, eventsMax } = consumer;
  const untilUnread = createPause();
  const gathering = createPause();
  const resting = createPause();
  const holds = createShardHolds({ database, log }, { reader, node, isAble, onUnread: untilUnread.end });
  let isHinted = false;
  let isStopping = false;
  let isFailing = false;
  let isWanted = true;
  let isLoaded = false;
  /** Everything of which there was a hint is before this stream order; undefined once all of it was read. */
  let hintedEnd: bigint | undefined;
  let unfinalMs = gatherMsMin;
  let storedMs = Number.NEGATIVE_INFINITY;

  eventsWritten.listen(() => {
    isHinted = true;
    untilUnread.end();
  });

  const loop = readOn();

  async function readOn(): Promise<void> {
    while (!isStopping) {
      const startMs = performance.now();
      const pauseMs = await turn().catch((error: unknown) => {
        log[isFailing ? 'debug' : 'warn']({ err: error, reader }, 'events were not read; another look follows');
        isFailing = true;
        return failureMs.first;
      });
      if (pauseMs === 0 || isStopping) continue;
      const longestMs = isLoaded ? loadedGatherMsMax : gatherMsMax;
      const gatherMs = Math.min(Math.max(gatherMsMin, gatherShare * (performance.now() - startMs)), longestMs);
      if (pauseMs > gatherMsMax) await untilUnread.forMs(pauseMs);
      await gathering.forMs(pauseMs > gatherMsMax ? gatherMs : Math.max(pauseMs, gatherMs));
    }
  }

  /** Answers with how long the next turn has time; 0 when this node is behind. */
  async function turn(): Promise<number> {
    const wasHinted = isHinted;
    isHinted = false;
    const [page] = await Promise.all([readNext(), storeNowAndThen()]);
    isFailing = false;
    if (page === undefined) {
      if (!isWanted && !isStopping) await resting.forMs(restMs);
      return untilNextMs();
    }
    await Promise.all(page.read.map(({ shard, events }) => deliver(shard, events)));
    const { final, end } = page.horizon;
    if (wasHinted) hintedEnd = BigInt(end);
    if (hintedEnd !== undefined && BigInt(final) >= hintedEnd) hintedEnd = undefined;
    const count = page.read.reduce((sum, { events }) => sum + events.length, 0);
    isLoaded = count >= loadedEvents;
    // What is there may not be final yet.
    unfinalMs = count === 0 && hintedEnd !== undefined ? Math.min(unfinalMs * 2, gatherMsMax) : gatherMsMin;
    if (page.read.some(({ events }) => events.length === eventsMax)) return 0;
    if (count > 0 || isHinted) return gatherMsMin;
    return hintedEnd === undefined ? untilNextMs() : unfinalMs;
  }

  async function storeNowAndThen(): Promise<void> {
    if (performance.now() - storedMs < storeIntervalMs) return;
    storedMs = performance.now();
    await holds.store();
  }

  async function readNext(): Promise<ReadShards | undefined> {
    const nowMs = performance.now();
    const shards = holds.all().filter((shard) => !shard.isLeaving && shard.nextMs <= nowMs);
    if (shards.length === 0) return undefined;
    const wanted = await consumer.unwantedBefore?.();
    isWanted = wanted === undefined;
    if (wanted !== undefined) {
      for (const shard of shards) if (comparePositions(shard.after, wanted) < 0) shard.after = wanted;
      return undefined;
    }
    const page = await database.run((sql) => selectEventPage(sql, shards, eventsMax, holds.holder));
    if (page.lost.size > 0) holds.lose(page.lost);
    const eventsOf = new Map(page.shards.map(({ shard, events }) => [shard, events]));
    return {
      horizon: page.horizon,
      read: shards.map((shard) => ({ shard, events: eventsOf.get(shard.shard) ?? [] })),
    };
  }

  async function deliver(shard: HeldShard, events: readonly StoredEvent[]): Promise<void> {
    const last = events.at(-1);
    if (last === undefined || shard.isLeaving || shard.lost.signal.aborted) return;
    shard.isDelivering = true;
    try {
      await consumer.deliver(shard.shard, events, shard.lost.signal);
      shard.after = last.position;
      shard.failures = 0;
    } catch (error) {
      if (shard.lost.signal.aborted) return;
      const nextMs = Math.min(failureMs.first * 2 ** shard.failures, failureMs.max) * (0.5 + Math.random() / 2);
      shard.nextMs = performance.now() + nextMs;
      log[shard.failures === 0 ? 'warn' : 'debug']({ err: error, reader, shard: shard.shard }, 'events come again');
      shard.failures += 1;
    } finally {
      shard.isDelivering = false;
      if (shard.isLeaving) holds.look();
    }
  }

  /** Until a shard that has failed is to be read again. */
  function untilNextMs(): number {
    const nowMs = performance.now();
    const waits = holds.all().flatMap(({ isLeaving, nextMs }) => (!isLeaving && nextMs > nowMs ? nextMs - nowMs : []));
    return Math.max(gatherMsMax + 1, Math.min(Number.POSITIVE_INFINITY, ...waits));
  }

  return {
    reader,
    lagMs: holds.lagMs,
    unread: () => unreadEvents({ database, log }, reader),
    shardCount: () => holds.all().length,
    look() {
      holds.look();
      untilUnread.end();
    },
    async stop() {
      isStopping = true;
      untilUnread.end();
      gathering.end();
      resting.end();
      const timer = setTimeout(() => {
        for (const shard of holds.all()) shard.lost.abort();
      }, stopMsMax);
      await loop;
      clearTimeout(timer);
      await holds.release();
    },
  } satisfies ShardReader;
}

/** Of all nodes, up to 80,000; undefined when Postgres does not say. */
export async function unreadEvents(
  { database, log }: Pick<ShardReaderDeps, 'database' | 'log'>,
  reader: EventConsumer['reader'],
): Promise<number | undefined> {
  try {
    return await database.run((sql) => countUnreadEvents(sql, reader, unreadMax));
  } catch (error) {
    log.warn({ err: error, reader }, 'unread events were not counted');
    return undefined;
  }
}

interface ReadShards {
  readonly horizon: EventPage['horizon'];
  readonly read: readonly { readonly shard: HeldShard; readonly events: readonly StoredEvent[] }[];
}
