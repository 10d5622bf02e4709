import { afterAll, beforeAll, expect, test } from 'vitest';
import type { NewTask } from '../../server/store/insert-tasks.ts';
import { byTenant, type ClaimRig, noLimits, startClaimRig } from './rig.ts';

let rig: ClaimRig;
beforeAll(async () => {
  rig = await startClaimRig();
});
afterAll(() => rig.stop());

const task = (limitKey: string, rest: Partial<NewTask> = {}) => ({ limitKey, ...rest });
const times = (count: number, limitKey: string) => Array.from({ length: count }, () => task(limitKey));

test('lets keys take turns, the empty key too', async () => {
  await rig.apply('turns', byTenant);
  await rig.insert('turns', [...times(5, 'a'), ...times(2, 'b'), ...times(1, ''), ...times(3, 'c')]);
  const node = rig.node();
  expect((await node.claimAll('turns', 99)).toSorted()).toEqual([...'aaaaabbccc'].concat('').toSorted());
});

test('goes on behind the key that it served last, claim by claim', async () => {
  await rig.apply('rotation', byTenant);
  await rig.insert('rotation', [...times(4, 'a'), ...times(4, 'b'), ...times(4, 'c'), ...times(1, 'd')]);
  const node = rig.node();
  const order: string[] = [];
  for (let count = 0; count < 13; count += 1) order.push(...(await node.claim('rotation', 1)).keys);
  expect(order.join('')).toBe('abcdabcabcabc');
  expect((await node.claim('rotation', 1)).keys).toEqual([]);
});

test('serves every key once before any key twice, also within one claim', async () => {
  await rig.apply('batch', byTenant);
  await rig.insert('batch', [...times(50, 'a'), ...times(50, 'b'), ...times(1, 'c')]);
  const node = rig.node();
  expect((await node.claim('batch', 5)).keys.join('')).toBe('abcab');
  expect((await node.claim('batch', 5)).keys.join('')).toBe('ababa');
});

test('takes the tasks of one key by priority, then age, whatever others have', async () => {
  await rig.apply('inner', byTenant);
  const at = (limitKey: string, priority: number, name: string, delayMs = 0) =>
    task(limitKey, { priority, delayMs, labels: { name } });
  await rig.insert('inner', [at('a', 1, 'a-late', -1_000), at('a', 1, 'a-early', -2_000), at('a', 9, 'a-high')]);
  await rig.insert('inner', [at('b', 0, 'b-low'), at('b', 5, 'b-delayed', 3_600_000)]);
  const node = rig.node();
  const order: (string | undefined)[] = [];
  for (let count = 0; count < 4; count += 1) {
    const { leased } = await node.claim('inner', 1);
    order.push(...leased.map(({ labels }) => labels.name));
  }
  expect(order).toEqual(['a-high', 'b-low', 'a-early', 'a-late']);
  expect((await node.claim('inner', 1)).leased).toEqual([]);
});

test('finds tasks of all keys when the type has a key no more', async () => {
  await rig.apply('sticky', byTenant);
  await rig.insert('sticky', [...times(2, 'a'), ...times(2, 'b')]);
  await rig.apply('sticky', null);
  await rig.insert('sticky', times(2, ''));
  expect((await rig.node().claimAll('sticky', 99)).toSorted()).toEqual(['', '', 'a', 'a', 'b', 'b']);
});

test('finds tasks of before the type had a key', async () => {
  await rig.apply('before', null);
  await rig.insert('before', times(3, ''));
  await rig.apply('before', byTenant);
  await rig.insert('before', times(1, 'a'));
  expect((await rig.node().claimAll('before', 99)).toSorted()).toEqual(['', '', '', 'a']);
});

test('finds the one key with due work among thousands that wait for later', async () => {
  await rig.apply('later', byTenant);
  for (let batch = 0; batch < 4; batch += 1) {
    const delayed = Array.from({ length: 500 }, (_, at) => task(`key-${batch}-${at}`, { delayMs: 3_600_000 }));
    await rig.insert('later', delayed);
  }
  await rig.insert('later', times(3, 'key-2-250'));
  const node = rig.node();
  expect(await node.claimAll('later', 10)).toEqual(Array(3).fill('key-2-250'));
  expect(await node.claimAll('later', 10)).toEqual([]);
});

test('keeps a type without limits free of rows of its own', async () => {
  await rig.apply('plain', null);
  await rig.apply('queue-only', { ...noLimits, queueMax: 10 });
  await rig.apply('for-a-while', { ...noLimits, concurrencyMax: 10 });
  await rig.apply('for-a-while', null);
  const rows = await rig.sql`
    SELECT type FROM limited_type WHERE type IN ('plain', 'queue-only', 'for-a-while', 'sticky') ORDER BY type`;
  expect(rows.map(({ type }) => type)).toEqual(['sticky']);
});

test('serves a tenant’s ten tasks with its turns, however many another one has waiting', async () => {
  await rig.apply('flood', byTenant);
  await rig.sql`
    INSERT INTO task (id, namespace, type, limit_key, state, priority, attempts_max, create_time, available_time, run_ms,
      labels, input, input_content_type, creator)
    SELECT gen_random_uuid(), 'default', 'flood', 'large', 'PENDING', 9, 1, now(), now() - interval '1 hour', 1000, '{}', '',
      'application/json', 'test'
    FROM generate_series(1, 100000)`;
  await rig.insert('flood', times(10, 'small'));
  const node = rig.node();
  const served: string[] = [];
  while (served.filter((key) => key === 'small').length < 10) served.push(...(await node.claim('flood', 4)).keys);
  expect(served.length).toBeLessThanOrEqual(20);
});
