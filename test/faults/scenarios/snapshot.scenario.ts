import { setTimeout as pause } from 'node:timers/promises';
import { pino } from 'pino';
import postgres from 'postgres';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createClaim } from '../../../server/engine/claim.ts';
import { createQueueStarts } from '../../../server/engine/queue-starts.ts';
import { createSnapshotWatch } from '../../../server/engine/snapshot-watch.ts';
import { openDatabase } from '../../../server/store/database.ts';
import { checkHistory } from '../../setup/check-history.ts';
import type { CoordinatorProcess } from '../../setup/coordinator-process.ts';
import type { Load } from '../load.ts';
import { figure, startWorld, type World } from './world.ts';

let world: World;
beforeEach(async () => {
  world = await startWorld();
});
afterEach(() => world.stop());

const heldMs = 60_000;
const probeMs = 15_000;

/** Keeps tasks coming until the work is over. */
async function under<Result>(load: Load, work: () => Promise<Result>): Promise<Result> {
  let isOver = false;
  const working = work().finally(() => {
    isOver = true;
  });
  while (!isOver) await load.submit(500);
  return working;
}

/** How long a claim beside those of the node takes, again and again, when it leases nothing: its median in ms. */
async function claimMs(): Promise<number> {
  const database = openDatabase({ url: world.postgres.url, connections: 1, applicationName: 'probe' });
  const watch = createSnapshotWatch({ database, log: pino({ level: 'silent' }) });
  const claim = createClaim({ database, starts: createQueueStarts(watch.isSlowing) });
  const tookMs: number[] = [];
  const untilMs = performance.now() + probeMs;
  try {
    await watch.look();
    while (performance.now() < untilMs) {
      const startedMs = performance.now();
      await claim([{ namespace: 'default', type: 'work', tasksMax: 50 }], () => []);
      tookMs.push(performance.now() - startedMs);
      await pause(50);
    }
  } finally {
    await database.close();
  }
  return tookMs.toSorted((a, b) => a - b)[tookMs.length >> 1] ?? Number.NaN;
}

async function snapshotAgeS(node: CoordinatorProcess): Promise<number> {
  const headers = { authorization: `Bearer ${await world.identity.token('operator')}` };
  const metrics = await (await fetch(`${node.httpUrl}/metrics`, { headers })).text();
  return Number(/^dstc_oldest_snapshot_seconds (.*)$/m.exec(metrics)?.[1]);
}

test('a snapshot held open for a minute at load: the claim takes less than three times as long, and the alarm fires', async () => {
  const [node] = (await world.nodes(1)) as [CoordinatorProcess];
  const load = await world.load([node], { taskMs: 5, worker: { concurrency: 50, prefetch: 50 } });
  const usualMs = await under(load, async () => {
    await pause(5_000);
    return claimMs();
  });
  const forgotten = postgres(world.postgres.url, { max: 1, connection: { application_name: 'forgotten' } });
  const heldClaimMs = await forgotten.begin('isolation level repeatable read', async (sql) => {
    await sql`SELECT count(*) FROM task`;
    return under(load, async () => {
      await pause(heldMs - probeMs);
      return claimMs();
    });
  });
  const ageS = await snapshotAgeS(node);
  await forgotten.end();
  const { count } = (await world.sql<{ count: number }[]>`SELECT count(*)::int FROM task`)[0] ?? { count: 0 };
  figure(`median of a claim, at ${Math.round(count / ((heldMs + probeMs + 5_000) / 1_000))} tasks/s`, usualMs, 'ms');
  figure(
    `the same after a snapshot was held for ${(heldMs - probeMs) / 1_000} to ${heldMs / 1_000} s`,
    heldClaimMs,
    'ms',
  );
  figure('age of the snapshot by the metric', ageS, 's');
  await load.untilEnded(world.sql, 60_000);
  expect(await checkHistory(world.sql, load.acknowledged)).toMatchObject({ attemptMax: 1 });
  expect(ageS).toBeGreaterThan(30);
  expect(heldClaimMs).toBeLessThan(3 * usualMs);
});
