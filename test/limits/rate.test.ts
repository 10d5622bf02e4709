import { afterAll, beforeAll, expect, test } from 'vitest';
import { byTenant, type ClaimingNode, type ClaimRig, noLimits, startClaimRig } from './rig.ts';

let rig: ClaimRig;
beforeAll(async () => {
  rig = await startClaimRig();
});
afterAll(() => rig.stop());

const anHour = 3_600_000;
const tasks = (count: number, limitKey = '') => Array.from({ length: count }, () => ({ limitKey }));
/** So slow that a test sees no token come. */
const slow = (burst: number) => ({ tasks: 1, intervalMs: anHour, burst });

/** Makes time pass for the buckets of a type. */
async function age(type: string, seconds: number): Promise<void> {
  await rig.sql`UPDATE limited_type SET refill_time = refill_time - ${seconds} * interval '1 second' WHERE type = ${type}`;
  await rig.sql`
    UPDATE key_bucket SET refill_time = refill_time - ${seconds} * interval '1 second',
      full_time = full_time - ${seconds} * interval '1 second'
    WHERE type = ${type}`;
}

test('leases the burst and then as tokens come, on all nodes together', async () => {
  await rig.apply('typed', { ...noLimits, rate: slow(5) });
  await rig.insert('typed', tasks(20));
  const [one, other] = [rig.node(), rig.node()];
  expect((await one.claim('typed', 3)).leased).toHaveLength(3);
  const second = await other.claim('typed', 10);
  expect(second.leased).toHaveLength(2);
  // About the time that one token takes, as the poll would be too late for faster ones.
  expect(second.nextLooks[0]?.inMs).toBeGreaterThan(0.99 * anHour);
  expect((await one.claim('typed', 10)).leased).toEqual([]);
  await age('typed', 3_600);
  expect((await one.claim('typed', 10)).leased).toHaveLength(1);
  await age('typed', 100 * 3_600);
  expect((await one.claim('typed', 10)).leased).toHaveLength(5);
});

test('gives each key a bucket of its own', async () => {
  await rig.apply('keyed', { ...byTenant, ratePerKey: slow(2) });
  await rig.insert('keyed', [...tasks(9, 'a'), ...tasks(9, 'b'), ...tasks(1, 'c')]);
  const [one, other] = [rig.node(), rig.node()];
  expect((await one.claimAll('keyed', 99)).toSorted().join('')).toBe('aabbc');
  const next = await other.claim('keyed', 99);
  expect(next.leased).toEqual([]);
  expect(next.nextLooks[0]?.inMs).toBeGreaterThan(0.99 * anHour);
  await age('keyed', 3_600);
  expect((await other.claimAll('keyed', 99)).toSorted().join('')).toBe('ab');
});

test('keeps to a rate of the type and one of each key at once', async () => {
  await rig.apply('both', { ...byTenant, rate: slow(5), ratePerKey: slow(2) });
  await rig.insert('both', [...tasks(9, 'a'), ...tasks(9, 'b'), ...tasks(9, 'c')]);
  expect((await rig.node().claimAll('both', 99)).join('')).toBe('abcab');
});

test('gives no token back that is lost with the lease, and counts a retry', async () => {
  await rig.apply('retried', { ...noLimits, rate: slow(1) });
  await rig.insert('retried', tasks(1));
  const node = rig.node();
  expect((await node.claim('retried', 1)).leased).toHaveLength(1);
  await rig.sql`UPDATE task SET state = 'PENDING', lease_id = NULL, session_id = NULL WHERE type = 'retried'`;
  expect((await node.claim('retried', 1)).leased).toEqual([]);
});

test('gives a burst out once, however many nodes ask at the same time', async () => {
  const nodes = Array.from({ length: 6 }, () => rig.node());
  for (let round = 0; round < 10; round += 1) {
    const type = `burst-${round}`;
    await rig.apply(type, { ...byTenant, rate: slow(7), ratePerKey: slow(5) });
    await rig.insert(type, [...tasks(20, 'a'), ...tasks(20, 'b')]);
    const claimed = await Promise.all(nodes.map((node) => node.claimAll(type, 4)));
    const keys = claimed.flat();
    expect(keys).toHaveLength(7);
    for (const key of 'ab') expect(keys.filter((each) => each === key).length).toBeLessThanOrEqual(5);
  }
});

test('keeps within tokens and burst while several nodes claim as fast as they can', async () => {
  const rate = { tasks: 100, intervalMs: 1_000, burst: 10 };
  await rig.apply('fast', { ...noLimits, rate });
  const total = 150;
  await rig.insert('fast', tasks(total));
  let leased = 0;
  let claimMsMax = 0;
  async function work(node: ClaimingNode): Promise<void> {
    while (leased < total) {
      const startMs = performance.now();
      const claimed = await node.claim('fast', 7);
      leased += claimed.leased.length;
      claimMsMax = Math.max(claimMsMax, performance.now() - startMs);
    }
  }
  await Promise.all([work(rig.node()), work(rig.node()), work(rig.node())]);
  const rows = await rig.sql<{ ms: number }[]>`
    SELECT extract(epoch FROM time)::float8 * 1000 AS ms FROM task_event WHERE type = 'fast' AND kind = 'leased' ORDER BY 1`;
  const times = rows.map(({ ms }) => ms);
  expect(times).toHaveLength(total);
  // An event has the time at which its claim began: a claim may use what came until it was its turn.
  const tooMany = times.flatMap((from, first) =>
    times.slice(first).filter((to, count) => {
      const allowed = rate.burst + ((to - from + claimMsMax) / rate.intervalMs) * rate.tasks;
      return count + 1 > allowed;
    }),
  );
  expect(tooMany).toEqual([]);
});

test('deletes the buckets of keys that are full again', async () => {
  await rig.apply('swept', { ...byTenant, ratePerKey: slow(1) });
  await rig.insert('swept', [...tasks(1, 'a'), ...tasks(1, 'b')]);
  await rig.node().claimAll('swept', 9);
  await rig.sql`UPDATE key_bucket SET full_time = now() WHERE type = 'swept' AND limit_key = 'a'`;
  await rig.sweep();
  const left = await rig.sql`SELECT limit_key FROM key_bucket WHERE type = 'swept'`;
  expect(left).toEqual([{ limit_key: 'b' }]);
});
