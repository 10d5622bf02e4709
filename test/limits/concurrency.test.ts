import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LeasedTask } from '../../server/store/lease-tasks.ts';
import { createRandom } from '../storm/random.ts';
import { byTenant, type ClaimingNode, type ClaimRig, noLimits, startClaimRig } from './rig.ts';

let rig: ClaimRig;
beforeAll(async () => {
  rig = await startClaimRig();
});
afterAll(() => rig.stop());

const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const random = createRandom(seed);
const below = (end: number) => Math.floor(random.next() * end);

/** Tasks of these keys in turn. */
const tasks = (count: number, ...keys: readonly string[]) =>
  Array.from({ length: count }, (_, at) => ({ limitKey: keys[at % keys.length] ?? '' }));

test('leases as many as may run, and one more for each that ends', async () => {
  await rig.apply('simple', { ...noLimits, concurrencyMax: 3 });
  await rig.insert('simple', tasks(10, ''));
  const [one, other] = [rig.node(), rig.node()];
  const first = await one.claim('simple', 2);
  const second = await other.claim('simple', 10);
  expect([first.leased.length, second.leased.length]).toEqual([2, 1]);
  expect((await one.claim('simple', 10)).leased).toEqual([]);
  await rig.finish(first.leased);
  expect((await other.claim('simple', 10)).leased).toHaveLength(2);
});

test('leases of one key as many as may run of it, and leaves the others their turns', async () => {
  await rig.apply('per-key', { ...byTenant, concurrencyPerKeyMax: 2 });
  await rig.insert('per-key', [...tasks(20, 'a'), ...tasks(3, 'b'), ...tasks(1, 'c')]);
  const node = rig.node();
  expect((await node.claimAll('per-key', 99)).toSorted().join('')).toBe('aabbc');
  expect((await node.claim('per-key', 99)).leased).toEqual([]);
});

test('finds the key with room among thousands that have none', async () => {
  await rig.apply('many-full', { ...byTenant, concurrencyPerKeyMax: 1 });
  const keys = Array.from({ length: 1_500 }, (_, at) => `key-${at}`);
  for (const _ of ['runs', 'waits']) await rig.insert('many-full', tasks(keys.length, ...keys));
  const node = rig.node();
  const all: LeasedTask[] = [];
  while (all.length < keys.length) {
    const { leased } = await node.claim('many-full', 500);
    expect(leased.length).toBeGreaterThan(0);
    all.push(...leased);
  }
  expect(await node.claimAll('many-full', 500)).toEqual([]);
  await rig.finish(all.slice(700, 701));
  expect(await node.claimAll('many-full', 500)).toHaveLength(1);
});

test(`lets no more run than may at any instant, claimed by several nodes (seed ${seed})`, async () => {
  await rig.apply('busy', { ...byTenant, concurrencyMax: 7, concurrencyPerKeyMax: 3 });
  const total = 300;
  await rig.insert('busy', tasks(total, 'a', 'b', 'c', 'a', 'a'));
  let ended = 0;
  const samples: ReadonlyMap<string, number>[] = [];

  async function work(node: ClaimingNode): Promise<void> {
    const held: LeasedTask[] = [];
    while (ended < total) {
      held.push(...(await node.claim('busy', below(6) + 1)).leased);
      const done = held.splice(0, below(held.length + 1));
      if (done.length > 0) await rig.finish(done);
      ended += done.length;
    }
  }
  async function watch(): Promise<void> {
    while (ended < total) samples.push(await rig.running('busy'));
  }
  await Promise.all([work(rig.node()), work(rig.node()), work(rig.node()), watch()]);
  const sums = samples.map((byKey) => [...byKey.values()].reduce((sum, count) => sum + count, 0));
  expect(samples.length).toBeGreaterThan(20);
  expect(Math.max(...sums)).toBeLessThanOrEqual(7);
  expect(Math.max(...samples.flatMap((byKey) => [...byKey.values()]))).toBeLessThanOrEqual(3);
  // Without work at the limit nothing was tried.
  expect(Math.max(...sums)).toBeGreaterThan(3);
});

test('counts what ran before there was a limit, and a limit that is lowered waits until enough has ended', async () => {
  await rig.apply('introduced', null);
  await rig.insert('introduced', tasks(20, ''));
  const node = rig.node();
  const before = await node.claim('introduced', 6);
  await rig.apply('introduced', { ...noLimits, concurrencyMax: 4 });
  expect((await node.claim('introduced', 10)).leased).toEqual([]);
  await rig.finish(before.leased.slice(0, 3));
  expect((await node.claim('introduced', 10)).leased).toHaveLength(1);
  await rig.apply('introduced', { ...noLimits, concurrencyMax: 2 });
  expect((await node.claim('introduced', 10)).leased).toEqual([]);
  await rig.apply('introduced', { ...noLimits, concurrencyMax: 6 });
  expect((await node.claim('introduced', 10)).leased).toHaveLength(2);
  await rig.apply('introduced', null);
  expect((await node.claim('introduced', 5)).leased).toHaveLength(5);
});

test('asks other types for work while another node claims of one', async () => {
  await rig.apply('held', { ...noLimits, concurrencyMax: 5 });
  await rig.insert('held', tasks(5, ''));
  const node = rig.node();
  await rig.sql.begin(async (sql) => {
    await sql`SELECT FROM limited_type WHERE type = 'held' FOR UPDATE`;
    const { leased, nextLooks } = await node.claim('held', 5);
    expect(leased).toEqual([]);
    expect(nextLooks).toMatchObject([{ type: 'held', isContended: true }]);
  });
  expect((await node.claim('held', 5)).leased).toHaveLength(5);
});
