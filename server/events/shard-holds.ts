import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { type EventPosition, positionBefore } from '../domain/event-position.ts';
import {
  insertReaderPositions,
  type KeptShard,
  keepShards,
  type ReaderNode,
  releaseShards,
  type ShardHold,
  storeHeldPositions,
} from '../store/event-readers.ts';
import { type ShardHolder, selectStreamEnd } from '../store/select-events.ts';
import type { SqlDatabase } from '../store/sql-database.ts';
import { createPause } from './pause.ts';

/** A shard that this node reads. */
export interface HeldShard extends ShardHold {
  /** Everything up to here was delivered. */
  after: EventPosition;
  /** What Postgres knows of that. */
  stored: EventPosition;
  isDelivering: boolean;
  /** Not read any more, and given up as soon as nothing of it is under way. */
  isLeaving: boolean;
  /** Deliveries in a row that failed, and the moment of this node's clock before which there is no other. */
  failures: number;
  nextMs: number;
  /** Aborted when the shard is another node's. */
  readonly lost: AbortController;
}

/** Which shards of a reader this node holds. Nodes share them evenly; what a dead one held goes to the others. */
export interface ShardHolds {
  readonly all: () => readonly HeldShard[];
  /** How long the event that waits for longest has waited, over all shards and nodes, as of the last second. */
  readonly lagMs: () => number;
  /** Tells Postgres how far the shards were read. */
  readonly store: () => Promise<void>;
  /** They are another node's now. */
  readonly lose: (shards: Iterable<number>) => void;
  /** Who holds them, in the database. */
  readonly holder: ShardHolder;
  /** Looks after the shards now, and not only in a second. */
  readonly look: () => void;
  /** Ends what is under way and hands everything over. */
  readonly release: () => Promise<void>;
}

export interface ShardHoldsOptions {
  readonly reader: string;
  /** The name of this node. */
  readonly node: string;
  /** Whether this node can deliver now. */
  readonly isAble: () => boolean;
  /** There is something to read. */
  readonly onUnread: () => void;
}

const leaseMs = 4_000;
const keepIntervalMs = 1_000;
const callLimit = { callMsMax: 2_000 };

export function createShardHolds(
  { database, log }: { readonly database: SqlDatabase; readonly log: Logger },
  { reader, node, isAble, onUnread }: ShardHoldsOptions,
): ShardHolds {
  // One that is started anew under its old name is another one.
  const self: ReaderNode = { reader, node: `${node}/${randomBytes(4).toString('hex')}`, leaseMs };
  const held = new Map<number, HeldShard>();
  const pause = createPause();
  let lagMs = 0;
  let isStopping = false;
  let isFailing = false;

  const loop = keepOn();

  async function keepOn(): Promise<void> {
    while (!isStopping) {
      try {
        await keep();
        isFailing = false;
      } catch (error) {
        log[isFailing ? 'debug' : 'warn']({ err: error, reader }, 'the shards of a reader were not looked after');
        isFailing = true;
      }
      // Nodes that started together do not ask together for ever.
      if (!isStopping) await pause.forMs(keepIntervalMs * (0.9 + Math.random() * 0.2));
    }
  }

  async function keep(): Promise<void> {
    const takes = isAble();
    if (!takes) for (const shard of held.values()) leave(shard, { atOnce: true });
    const [givenUp, staying] = partition([...held.values()], (shard) => shard.isLeaving && !shard.isDelivering);
    // Before, so that the lag is that of what was delivered by now.
    await store();
    const kept = await database.run((sql) => keepShards(sql, self, { held: staying, givenUp, takes }), callLimit);
    if (kept.shards.length === 0) return begin();
    for (const { shard } of givenUp) held.delete(shard);
    for (const shard of kept.shards) {
      if (shard.is === 'taken') take(shard);
      else if (shard.is === 'not held') lose(shard.shard);
    }
    for (const shard of [...held.values()].slice(kept.shareMax)) leave(shard, { atOnce: false });
    lagMs = Math.max(0, ...kept.shards.map((shard) => shard.lagMs ?? 0));
    if (kept.shards.some((shard) => shard.lagMs !== undefined && held.has(shard.shard))) onUnread();
  }

  async function begin(): Promise<void> {
    await beginReader(database, reader);
    pause.end();
  }

  function take({ shard, epoch, position }: KeptShard): void {
    held.set(shard, {
      ...{ shard, epoch, after: position, stored: position, isDelivering: false, isLeaving: false },
      ...{ failures: 0, nextMs: 0, lost: new AbortController() },
    });
  }

  function lose(shard: number): void {
    held.get(shard)?.lost.abort();
    held.delete(shard);
  }

  function leave(shard: HeldShard, { atOnce }: { readonly atOnce: boolean }): void {
    shard.isLeaving = true;
    if (atOnce) shard.lost.abort();
    if (!shard.isDelivering) pause.end();
  }

  async function store(): Promise<void> {
    const read = [...held.values()]
      .filter((shard) => shard.after !== shard.stored)
      .map((shard) => ({ shard, after: shard.after }));
    if (read.length === 0) return;
    const positions = read.map(({ shard, after }) => ({ shard: shard.shard, epoch: shard.epoch, position: after }));
    const stored = await database.run((sql) => storeHeldPositions(sql, self, positions), callLimit);
    for (const { shard, after } of read) {
      if (stored.has(shard.shard)) shard.stored = after;
      else if (held.get(shard.shard) === shard) lose(shard.shard);
    }
  }

  return {
    all: () => [...held.values()],
    lagMs: () => lagMs,
    store,
    lose(shards) {
      for (const shard of shards) lose(shard);
      pause.end();
    },
    holder: self,
    look: () => pause.end(),
    async release() {
      isStopping = true;
      pause.end();
      await loop;
      try {
        await store();
        await database.run((sql) => releaseShards(sql, self), callLimit);
      } catch (error) {
        log.warn({ err: error, reader }, 'the shards of a reader were not handed over; others take them in seconds');
      }
      held.clear();
    },
  };
}

/** Gives a reader its first place, the present end of the stream. Of several nodes that begin together, one does. */
export async function beginReader(database: SqlDatabase, reader: string): Promise<void> {
  const { order, timeMs } = await database.run(selectStreamEnd, callLimit);
  await database.run((sql) => insertReaderPositions(sql, reader, positionBefore(order, timeMs)), callLimit);
}

function partition<Item>(items: readonly Item[], isFirst: (item: Item) => boolean): [Item[], Item[]] {
  return [items.filter(isFirst), items.filter((item) => !isFirst(item))];
}
