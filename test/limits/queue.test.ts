import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { limits } from '../../server/domain/limits.ts';
import { deleteExpiredReservations } from '../../server/store/queue-reservations.ts';
import { statementsWait } from '../setup/statements-wait.ts';
import { createRandom } from '../storm/random.ts';
import { type QueueNode, type QueueRig, startQueueRig } from './queue-rig.ts';

let rig: QueueRig;
let nodes: readonly [QueueNode, QueueNode, QueueNode];
beforeAll(async () => {
  rig = await startQueueRig();
  nodes = [rig.node(), rig.node(), rig.node()];
});
afterAll(() => rig.stop());

const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const random = createRandom(seed);
const below = (end: number) => Math.floor(random.next() * end);

/** Places that nobody used are others' after this time: the reservation's, and what a count is good for at most. */
const unusedMsMax = limits.queueReservationMs + 1_000;
/** What a loaded machine may add. */
const marginMs = 2_000;

let types = 0;
async function limited(queueMax: number, node = nodes[0]): Promise<string> {
  types += 1;
  const type = `limited.${types}`;
  await rig.apply(node, type, queueMax);
  return type;
}

const count = (answers: readonly string[], wanted: string) => answers.filter((answer) => answer === wanted).length;

/** Submits through a node until so many wait; answers with how long it took. */
async function fillUp(node: QueueNode, type: string, waiting: number): Promise<number> {
  const startedMs = performance.now();
  await expect
    .poll(
      async () => {
        await node.flood(type, 10);
        return rig.waiting(type);
      },
      { timeout: 10_000, interval: 20 },
    )
    .toBe(waiting);
  return performance.now() - startedMs;
}

/** Has a node hold places that it has no use for. */
async function hoard(node: QueueNode, type: string): Promise<number> {
  await node.flood(type, 10);
  await node.submit(type);
  return rig.reserved(type);
}

/** When a queue was counted last. */
async function countedMs(type: string): Promise<number> {
  const [row] = await rig.sql<{ ms: number }[]>`
    SELECT extract(epoch FROM count_time)::float8 AS ms FROM queue_room WHERE type = ${type}`;
  return row?.ms ?? 0;
}

test.each([
  [2, 20],
  [3, 1],
  [3, 50],
  [3, 1_000],
])(
  '%i nodes that flood an empty queue at the same moment fill it to its limit of %i and no further',
  async (many, queueMax) => {
    const type = await limited(queueMax);
    const flooding = nodes.slice(0, many);
    const answers = await Promise.all(flooding.map((node) => node.flood(type, queueMax)));
    expect(count(answers.flat(), 'inserted')).toBeLessThanOrEqual(queueMax);
    for (const node of flooding) await fillUp(node, type, queueMax);
    expect(await nodes[0].submit(type)).toBe('refused');
  },
);

test('single submissions and calls of tasks that depend on each other keep to one limit together', async () => {
  const type = await limited(100);
  const answers = await Promise.all(
    nodes.flatMap((node) => [node.flood(type, 40), node.submitChain(type, 40), node.submitChain(type, 5)]),
  );
  const inserted = count(answers.flat(), 'inserted');
  expect(await rig.waiting(type)).toBe(inserted);
  expect(inserted).toBeLessThanOrEqual(100);
  await fillUp(nodes[1], type, 100);
  expect(count(await nodes[2].submitChain(type, 3), 'refused')).toBe(3);
});

test('a flush of many types, with a limit and without, is written whole but for what is refused', async () => {
  const narrow = await Promise.all([2, 3, 4].map((queueMax) => limited(queueMax)));
  const free = await limited(0);
  const flood = (node: QueueNode) => Promise.all([...narrow, free].map((type) => node.flood(type, 20)));
  await Promise.all(nodes.map(flood));
  const waiting = () => Promise.all([...narrow, free].map((type) => rig.waiting(type)));
  for (const [at, type] of narrow.entries()) await fillUp(nodes[0], type, 2 + at);
  expect(await waiting()).toEqual([2, 3, 4, 60]);
});

test('room that workers make is anybody’s soon, on any node', async () => {
  const type = await limited(20);
  await fillUp(nodes[0], type, 20);
  expect(await rig.take(type, 5)).toBe(5);
  expect(await fillUp(nodes[1], type, 20)).toBeLessThan(unusedMsMax + marginMs);
  expect(await rig.take(type, 5)).toBe(5);
  expect(await fillUp(nodes[0], type, 20)).toBeLessThan(unusedMsMax + marginMs);
});

test('what a node holds when it is killed is anybody’s in the time that is promised, and not used before', async () => {
  const type = await limited(100);
  const dying = rig.node();
  const held = await hoard(dying, type);
  expect(held).toBeGreaterThan(5);
  await dying.kill();
  const untilGone = performance.now() + unusedMsMax + marginMs;
  await nodes[0].flood(type, 200);
  expect(await nodes[0].submit(type)).toBe('refused');
  await fillUp(nodes[0], type, 100);
  expect(performance.now()).toBeLessThan(untilGone);
});

test('what a node holds when it stops is anybody’s at once', async () => {
  const type = await limited(100);
  const stopping = rig.node();
  expect(await hoard(stopping, type)).toBeGreaterThan(5);
  await stopping.engine.queueLimits.stop();
  expect(await rig.reserved(type)).toBe(0);
});

test('a task whose commit comes after the time of its place has it all the same', async () => {
  const type = await limited(30);
  const slow = rig.node();
  await hoard(slow, type);
  const hold = slow.database.hold();
  const late = slow.flood(type, 3);
  await hold.reached;
  await rig.expire(type);
  const counts = new Set<number>();
  // Whoever counts now sees neither the tasks nor a reservation whose time is not over.
  await expect
    .poll(
      async () => {
        await nodes[1].flood(type, 10);
        return counts.add(await countedMs(type)).size;
      },
      { timeout: 10_000, interval: 20 },
    )
    .toBeGreaterThan(5);
  const held = await rig.reserved(type);
  expect(held).toBeGreaterThanOrEqual(3);
  // One of the places is that of the task that was submitted last.
  expect(await rig.waiting(type)).toBeLessThanOrEqual(30 - (held - 1));
  hold.release();
  expect(await late).toEqual(['inserted', 'inserted', 'inserted']);
  await fillUp(nodes[0], type, 30);
});

test('a task whose place was taken away before it was written is given another one, or none', async () => {
  const type = await limited(30);
  const slow = rig.node();
  await hoard(slow, type);
  await rig.expire(type);
  // Takes back what has expired as soon as it counts.
  await fillUp(nodes[0], type, 30);
  expect(await rig.reserved(type)).toBe(0);
  expect(await slow.submit(type)).toBe('refused');
  expect(await slow.submitChain(type, 2)).toEqual(['refused', 'refused']);
  await rig.take(type, 10);
  await fillUp(slow, type, 30);
});

test('requests of a call find out that their places are gone, and the next call gets others', async () => {
  const type = await limited(100);
  const slow = rig.node();
  await hoard(slow, type);
  await rig.sql`DELETE FROM queue_reservation WHERE type = ${type}`;
  expect(await slow.submitChain(type, 2)).toEqual(['refused', 'refused']);
  expect(await slow.submitChain(type, 2)).toEqual(['inserted', 'inserted']);
});

test('a submission finds out that its place is gone, and gets another one', async () => {
  const type = await limited(100);
  const slow = rig.node();
  await hoard(slow, type);
  await rig.sql`DELETE FROM queue_reservation WHERE type = ${type}`;
  expect(await slow.flood(type, 3)).toEqual(['inserted', 'inserted', 'inserted']);
});

test('repeats with an idempotency key take no place, whether there is one or not', async () => {
  const type = await limited(3);
  const key = randomUUID();
  const answers = await Promise.all(nodes.map((node) => node.flood(type, 10, () => key)));
  expect(count(answers.flat(), 'inserted')).toBe(1);
  // A repeat that came before the first was written may have been told to come again.
  for (const node of nodes) expect(await node.flood(type, 1, () => key)).toEqual(['existed']);
  await fillUp(nodes[2], type, 3);
  for (const node of nodes) expect(await node.flood(type, 2, () => key)).toEqual(['existed', 'existed']);
  expect(await rig.waiting(type)).toBe(3);
});

test('a limit that is lowered holds at once on every node, whatever they had reserved under the one before', async () => {
  const type = await limited(200);
  expect(await hoard(nodes[1], type)).toBeGreaterThan(5);
  await rig.apply(nodes[0], type, 12);
  expect(count(await nodes[1].flood(type, 20), 'inserted')).toBeLessThanOrEqual(1);
  await fillUp(nodes[2], type, 12);
  await rig.apply(nodes[0], type, 5);
  const refused = await Promise.all(nodes.map((node) => node.submit(type)));
  expect(refused).toEqual(['refused', 'refused', 'refused']);
});

test('lowering a limit waits for the commit of what comes in under the one before, and lets in nothing more', async () => {
  const type = await limited(200);
  await hoard(nodes[1], type);
  const hold = nodes[1].database.hold();
  const coming = nodes[1].flood(type, 2);
  await hold.reached;
  const lowered = rig.apply(nodes[0], type, 5);
  await statementsWait(rig.sql, 1);
  hold.release();
  await lowered;
  expect(await coming).toEqual(['inserted', 'inserted']);
  expect(await nodes[1].submit(type)).toBe('refused');
  expect(await rig.waiting(type)).toBe(13);
});

test('a limit that is raised makes room, and one that is taken away lets in everything', async () => {
  const type = await limited(5);
  await fillUp(nodes[1], type, 5);
  await rig.apply(nodes[0], type, 8);
  expect(count(await nodes[0].flood(type, 10), 'inserted')).toBe(3);
  await rig.apply(nodes[0], type, 0);
  expect(count(await nodes[0].flood(type, 10), 'inserted')).toBe(10);
  await rig.apply(nodes[0], type, 3);
  expect(await nodes[0].submit(type)).toBe('refused');
});

test('a type that is deleted and made again begins with an empty queue', async () => {
  const type = await limited(2);
  await nodes[0].engine.types.delete({ namespace: 'default', name: type }, { actor: 'test', expectedEtag: undefined });
  await rig.apply(nodes[0], type, 2);
  await fillUp(nodes[0], type, 2);
  expect(await nodes[0].submit(type)).toBe('refused');
});

test('what has expired of queues that nobody asks for is deleted in steps, but for what a task is coming in by', async () => {
  const type = await limited(1_000);
  const slow = rig.node();
  await hoard(slow, type);
  const hold = slow.database.hold();
  const late = slow.submit(type);
  await hold.reached;
  await rig.sql`
    INSERT INTO queue_reservation (id, namespace, type, places, expire_time)
    SELECT gen_random_uuid(), 'default', ${type}, 1, now() FROM generate_series(1, 5)`;
  await rig.expire(type);
  const step = () => nodes[0].database.run((sql) => deleteExpiredReservations(sql, 3));
  expect(await step()).toBe(3);
  while ((await step()) === 3);
  expect(await rig.sql`SELECT FROM queue_reservation WHERE type = ${type}`).toHaveLength(1);
  hold.release();
  expect(await late).toBe('inserted');
});

test(`while nodes come, die and stop, and workers take, never do more wait than may (seed ${seed})`, async () => {
  const type = await limited(40);
  const living = [rig.node(), rig.node(), rig.node()];
  let isOver = false;
  let seenMax = 0;
  const watched = (async () => {
    while (!isOver) seenMax = Math.max(seenMax, await rig.waiting(type));
  })();
  for (let round = 0; round < 60; round += 1) {
    const at = below(3);
    const node = living[at] ?? nodes[0];
    const others = living.filter((other) => other !== node);
    const work = others.map((other) =>
      below(3) === 0 ? other.submitChain(type, 1 + below(9)) : other.flood(type, 1 + below(30)),
    );
    if (below(2) === 0) await rig.take(type, below(40));
    switch (below(8)) {
      case 0:
        await node.kill();
        living[at] = rig.node();
        break;
      case 1:
        await node.engine.queueLimits.stop();
        break;
      case 2:
        await rig.expire(type);
    }
    await Promise.all([...work, rig.take(type, below(10))]);
  }
  isOver = true;
  await watched;
  expect(seenMax).toBeLessThanOrEqual(40);
  await fillUp(nodes[0], type, 40);
}, 60_000);
