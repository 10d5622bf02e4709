import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkHistory } from '../../setup/check-history.ts';
import type { CoordinatorProcess } from '../../setup/coordinator-process.ts';
import { temporaryDirectory } from '../../setup/temporary-directory.ts';
import { figure, startWorld, type World } from './world.ts';

const hourMs = 3_600_000;
const waitMs = 4_000;
let world: World;
let directory: string;
beforeEach(async () => {
  // Longer than the clocks are apart: tokens are what a node's own clock is for.
  [world, directory] = await Promise.all([startWorld({ accessTokenSeconds: 4 * 3_600 }), temporaryDirectory()]);
});
afterEach(async () => {
  await world.stop();
  await rm(directory, { recursive: true, force: true });
});

async function startNodeWithClock(name: string, shiftMs: number): Promise<CoordinatorProcess> {
  const file = join(directory, 'settings.yaml');
  const { issuer } = world.identity;
  await writeFile(file, JSON.stringify({ issuers: [{ issuer, audience: 'dstc', clockToleranceSeconds: 7_200 }] }));
  const settings = { DSTC_CONFIG_FILE: file, TEST_CLOCK_SHIFT_MS: String(shiftMs) };
  const node = await world.node(name, { settings, preload: new URL('shifted-clock.ts', import.meta.url) });
  await node.start();
  return node;
}

test('clocks of nodes an hour off, each way: no lease is lost, and no delay or deadline moves', async () => {
  const nodes = [
    await startNodeWithClock('ahead', hourMs),
    await startNodeWithClock('behind', -hourMs),
    await startNodeWithClock('right', 0),
  ];
  const load = await world.load(nodes, { taskMs: 50 });
  await load.addWorker();
  await load.addWorker();
  const submitted = load.submit(2_000);
  const acknowledged: string[] = [];
  for (const node of nodes) {
    const { tasks, types } = await world.operator(node);
    await types.applyTaskType({ taskType: { name: 'nobody' } });
    const delay = { seconds: BigInt(waitMs / 1_000) };
    const [later, never] = [
      await tasks.submitTask({ type: 'work', delay }),
      await tasks.submitTask({ type: 'nobody', deadlines: { start: delay } }),
    ];
    acknowledged.push(later.task?.id ?? '', never.task?.id ?? '');
  }
  await submitted;
  await load.untilEnded(world.sql, 60_000);
  const report = await checkHistory(world.sql, [...load.acknowledged, ...acknowledged]);
  expect(report).toMatchObject({ byState: { SUCCEEDED: 2_003, FAILED: 3 }, attemptMax: 1 });
  expect(report.byKind.lease_lost).toBeUndefined();

  const waits = await world.sql<{ kind: string; ms: number }[]>`
    SELECT e.kind, extract(epoch FROM e.time - t.create_time)::float8 * 1000 AS ms
    FROM task_event e JOIN task t ON t.id = e.task_id
    WHERE t.id = ANY(${world.sql.array(acknowledged)}::uuid[]) AND e.kind IN ('leased', 'failed')`;
  expect(waits).toHaveLength(6);
  for (const kind of ['leased', 'failed']) {
    const late = waits.filter((wait) => wait.kind === kind).map(({ ms }) => ms - waitMs);
    figure(`latest ${kind} after its time, over all clocks`, Math.max(...late), 'ms');
    expect(Math.min(...late)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...late)).toBeLessThan(3_000);
  }
});
