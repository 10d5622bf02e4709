import { DstcError } from '../domain/errors.ts';
import { isConflict } from '../store/database-error.ts';

export interface GroupCommitOptions<Item, Result> {
  /** Writes items in one statement; answers in their order. */
  readonly flush: (items: readonly Item[]) => Promise<readonly Result[]>;
  /** Items of one statement. */
  readonly itemsMax: number;
  /** Bytes of one statement, as `bytesOf` counts them. */
  readonly bytesMax: number;
  readonly bytesOf: (item: Item) => number;
  /** Statements under way at the same time. */
  readonly concurrency: number;
  /** Items that may wait before callers are turned away. */
  readonly queueMax: number;
}

/** Gathers what arrives while a statement is under way and writes it with the next one. */
export interface GroupCommit<Item, Result> {
  readonly add: (item: Item) => Promise<Result>;
  /** Resolves when nothing waits and nothing is under way. */
  readonly idle: () => Promise<void>;
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** A deadlock is broken by doing it again; more often than this it is something else. */
const conflictRetriesMax = 5;

/**
 * Without load an item is written at once; under load batches grow by themselves, because items gather while earlier
 * ones are written. There is no timer.
 */
export function createGroupCommit<Item, Result>(options: GroupCommitOptions<Item, Result>): GroupCommit<Item, Result> {
  let queue: Waiting<Item, Result>[] = [];
  let underWay = 0;
  let scheduled = false;
  const whenIdle: (() => void)[] = [];

  function schedule(): void {
    if (scheduled || underWay >= options.concurrency || queue.length === 0) return;
    scheduled = true;
    // One turn of the loop: everything that this turn reads from its sockets goes together.
    setImmediate(() => {
      scheduled = false;
      void write(take());
    });
  }

  function take(): Waiting<Item, Result>[] {
    let count = 0;
    let bytes = 0;
    for (const { item } of queue) {
      bytes += options.bytesOf(item);
      if (count > 0 && (count === options.itemsMax || bytes > options.bytesMax)) break;
      count += 1;
    }
    const batch = queue.slice(0, count);
    queue = queue.slice(count);
    return batch;
  }

  async function write(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    underWay += 1;
    schedule();
    await settle(batch, 0);
    underWay -= 1;
    schedule();
    if (underWay === 0 && queue.length === 0) {
      for (const resolve of whenIdle.splice(0)) resolve();
    }
  }

  /** One item that cannot be written never fails its neighbours: a batch that fails is halved until it stands alone. */
  async function settle(batch: readonly Waiting<Item, Result>[], conflicts: number): Promise<void> {
    try {
      const results = await options.flush(batch.map(({ item }) => item));
      batch.forEach(({ resolve }, index) => {
        resolve(results[index] as Result);
      });
    } catch (error) {
      if (isConflict(error) && conflicts < conflictRetriesMax) return settle(batch, conflicts + 1);
      const isOurs = error instanceof DstcError;
      if (isOurs || batch.length === 1) {
        for (const { reject } of batch) reject(error);
        return;
      }
      const middle = batch.length >> 1;
      await settle(batch.slice(0, middle), conflicts);
      await settle(batch.slice(middle), conflicts);
    }
  }

  return {
    add(item) {
      if (queue.length >= options.queueMax) {
        const error = new DstcError('OVERLOADED', 'this node has as much work as it can hold; try again later', {
          metadata: { limit: String(options.queueMax) },
          retryDelayMs: 250,
        });
        return Promise.reject(error);
      }
      const { promise, resolve, reject } = Promise.withResolvers<Result>();
      queue.push({ item, resolve, reject });
      schedule();
      return promise;
    },
    idle() {
      if (underWay === 0 && queue.length === 0) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      whenIdle.push(resolve);
      return promise;
    },
  };
}
