import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DstcError } from '../domain/errors.ts';
import { createGroupCommit, type GroupCommitOptions } from './group-commit.ts';

const seed = process.env.TEST_SEED === undefined ? {} : { seed: Number(process.env.TEST_SEED) };

/** A commit of numbers that answers with their doubles, and keeps what each statement was given. */
function doubling(options: Partial<GroupCommitOptions<number, number>> = {}) {
  const batches: (readonly number[])[] = [];
  const commit = createGroupCommit<number, number>({
    flush: async (items) => {
      batches.push(items);
      return items.map((item) => item * 2);
    },
    ...{ itemsMax: 100, bytesMax: 1_000, bytesOf: () => 1, concurrency: 1, queueMax: 1_000 },
    ...options,
  });
  return { commit, batches };
}

const deadlock = () => Object.assign(new Error('deadlock detected'), { code: '40P01' });

describe('a group commit', () => {
  test('writes what arrives in one turn with one statement, and answers each caller with its own result', async () => {
    const { commit, batches } = doubling();
    expect(await Promise.all([1, 2, 3].map((item) => commit.add(item)))).toEqual([2, 4, 6]);
    expect(batches).toEqual([[1, 2, 3]]);
  });

  test('gathers while a statement is under way', async () => {
    const gate = Promise.withResolvers<void>();
    const batches: (readonly number[])[] = [];
    const { commit } = doubling({
      flush: async (items) => {
        batches.push(items);
        if (batches.length === 1) await gate.promise;
        return items;
      },
    });
    const first = commit.add(1);
    await expect.poll(() => batches.length).toBe(1);
    const others = [2, 3, 4].map((item) => commit.add(item));
    gate.resolve();
    await Promise.all([first, ...others]);
    expect(batches).toEqual([[1], [2, 3, 4]]);
  });

  test('lets one bad item fail alone', async () => {
    const bad = new Error('invalid byte sequence');
    const written: number[] = [];
    const { commit } = doubling({
      flush: async (items) => {
        if (items.includes(5)) throw bad;
        written.push(...items);
        return items.map((item) => item * 2);
      },
    });
    const results = await Promise.allSettled([1, 2, 3, 4, 5, 6, 7].map((item) => commit.add(item)));
    expect(results.map((result) => (result.status === 'fulfilled' ? result.value : result.reason))).toEqual([
      ...[2, 4, 6, 8, bad, 12, 14],
    ]);
    expect(written.toSorted()).toEqual([1, 2, 3, 4, 6, 7]);
  });

  test('does a deadlocked statement again, as it was, and gives up in the end', async () => {
    let failures = 3;
    const batches: (readonly number[])[] = [];
    const { commit } = doubling({
      flush: async (items) => {
        batches.push(items);
        if (failures > 0) {
          failures -= 1;
          throw deadlock();
        }
        return items;
      },
    });
    await Promise.all([1, 2].map((item) => commit.add(item)));
    expect(batches).toEqual([
      [1, 2],
      [1, 2],
      [1, 2],
      [1, 2],
    ]);
    failures = Number.POSITIVE_INFINITY;
    await expect(commit.add(3)).rejects.toThrow('deadlock');
    expect(batches.length).toBeLessThan(12);
  });

  test('fails all of a batch that Postgres could not be asked to write', async () => {
    const away = new DstcError('DATABASE_UNAVAILABLE', 'away');
    let calls = 0;
    const { commit } = doubling({
      flush: async () => {
        calls += 1;
        throw away;
      },
    });
    const results = await Promise.allSettled([1, 2, 3, 4].map((item) => commit.add(item)));
    expect(results).toEqual(Array.from({ length: 4 }, () => ({ status: 'rejected', reason: away })));
    expect(calls).toBe(1);
  });

  test('turns callers away when too many wait, and takes others when there is room', async () => {
    const gate = Promise.withResolvers<void>();
    const { commit } = doubling({
      queueMax: 3,
      flush: async (items) => {
        await gate.promise;
        return items;
      },
    });
    const waiting = [1, 2, 3].map((item) => commit.add(item));
    await expect(commit.add(4)).rejects.toMatchObject({ reason: 'OVERLOADED', retryDelayMs: 250 });
    gate.resolve();
    await Promise.all(waiting);
    expect(await commit.add(5)).toBe(5);
  });

  test('runs no more statements at once than it may', async () => {
    let underWay = 0;
    let most = 0;
    const { commit } = doubling({
      ...{ itemsMax: 1, concurrency: 2 },
      flush: async (items) => {
        underWay += 1;
        most = Math.max(most, underWay);
        await new Promise((resolve) => setImmediate(resolve));
        underWay -= 1;
        return items;
      },
    });
    await Promise.all(Array.from({ length: 20 }, (_, item) => commit.add(item)));
    expect(most).toBe(2);
  });

  test('is idle once nothing waits and nothing is under way', async () => {
    const { commit, batches } = doubling({ itemsMax: 1 });
    await commit.idle();
    const all = Promise.all([1, 2, 3].map((item) => commit.add(item)));
    await commit.idle();
    expect(batches).toHaveLength(3);
    await all;
  });

  test('keeps order and both bounds for whatever comes', async () => {
    const items = fc.array(fc.record({ bytes: fc.integer({ min: 0, max: 30 }), bad: fc.boolean() }), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(
        items,
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 1, max: 40 }),
        async (list, itemsMax, bytesMax) => {
          const written: number[] = [];
          const commit = createGroupCommit<number, number>({
            ...{ itemsMax, bytesMax, concurrency: 1, queueMax: 1_000 },
            bytesOf: (index) => list[index]?.bytes ?? 0,
            flush: async (batch) => {
              expect(batch.length).toBeLessThanOrEqual(itemsMax);
              const bytes = batch.reduce((sum, index) => sum + (list[index]?.bytes ?? 0), 0);
              expect(batch.length === 1 || bytes <= bytesMax).toBe(true);
              if (batch.some((index) => list[index]?.bad)) throw new Error('bad');
              written.push(...batch);
              return batch;
            },
          });
          const results = await Promise.allSettled(list.map((_, index) => commit.add(index)));
          expect(results.map((result) => (result.status === 'fulfilled' ? result.value : 'bad'))).toEqual(
            list.map(({ bad }, index) => (bad ? 'bad' : index)),
          );
          expect(written).toEqual(list.flatMap(({ bad }, index) => (bad ? [] : [index])));
        },
      ),
      { numRuns: 60, ...seed },
    );
  });
});
