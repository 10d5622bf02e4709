import { clientCredentials, Worker } from '@dstc/sdk';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { acceptance } from '../../engine/rig.ts';
import { checkHistory } from '../../setup/check-history.ts';
import { leaseOf, openRawWorker } from '../../setup/raw-worker.ts';
import { figure, startWorld, type World } from './world.ts';

let world: World;
beforeEach(async () => {
  world = await startWorld();
});
afterEach(() => world.stop());

const streams = 100;

test('kill -9 of a coordinator with 100 worker streams: all go on elsewhere within 5 s with their leases, and no attempt is burnt', async () => {
  const [one, other] = [await world.node('one'), await world.node('other')];
  await one.start();
  const { tasks, types } = await world.operator(one);
  await types.applyTaskType({ taskType: { name: 'work' } });
  const finish = Promise.withResolvers<void>();
  const [running, resumed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const { clientId, clientSecret } = world.identity.clients.worker;
  const credentials = clientCredentials({ issuer: world.identity.issuer, clientId, clientSecret });
  let [runs, connects] = [0, 0];
  const workers = Array.from({ length: streams }, () =>
    new Worker({
      addresses: [one.grpcAddress, other.grpcAddress],
      ...{ credentials, concurrency: 1, onError: () => undefined },
      onConnected() {
        connects += 1;
        if (connects === 2 * streams) resumed.resolve();
      },
    }).handle('work', async () => {
      runs += 1;
      if (runs === streams) running.resolve();
      await finish.promise;
    }),
  );
  await Promise.all(workers.map((worker) => worker.start()));
  const { results } = await tasks.submitTasks({ requests: Array.from({ length: streams }, () => ({ type: 'work' })) });
  await running.promise;
  await other.start();

  const killedMs = performance.now();
  await one.kill();
  await resumed.promise;
  const tookMs = performance.now() - killedMs;
  figure('until 100 streams had resumed elsewhere', tookMs / 1_000, 's');
  finish.resolve();
  await expect.poll(() => world.sql`SELECT FROM task WHERE state <> 'SUCCEEDED'`, { timeout: 30_000 }).toHaveLength(0);
  const ids = results.map(({ result }) => (result.case === 'task' ? result.value.id : ''));
  const report = await checkHistory(world.sql, ids);
  expect(report).toMatchObject({ byState: { SUCCEEDED: streams }, attemptMax: 1, byKind: { leased: streams } });
  expect(runs).toBe(streams);
  expect(tookMs).toBeLessThan(5_000);
  await Promise.all(workers.map((worker) => worker.stop({ graceMs: 0 })));
});

test.each([
  ['restarted', 'terminate'],
  ['killed', 'kill'],
] as const)('three coordinators %s in turn under load lose nothing and burn no attempt', async (_, how) => {
  const nodes = await world.nodes(3);
  const load = await world.load(nodes, { taskMs: 30 });
  await load.addWorker();
  await load.addWorker();
  const submitted = load.submit(6_000);
  let slowestMs = 0;
  for (const [turn, node] of nodes.entries()) {
    await load.untilHandled(1_000 * (turn + 1));
    const askedMs = performance.now();
    const code = await node[how]();
    slowestMs = Math.max(slowestMs, performance.now() - askedMs);
    if (how === 'terminate') expect(code).toBe(0);
    await node.start();
  }
  await submitted;
  await load.untilEnded(world.sql, 60_000);
  const report = await checkHistory(world.sql, load.acknowledged);
  expect(report).toMatchObject({ tasks: 6_000, byState: { SUCCEEDED: 6_000 }, attemptMax: 1 });
  expect(report.byKind.lease_lost).toBeUndefined();
  if (how === 'terminate') figure('slowest end of a coordinator that was asked to stop', slowestMs / 1_000, 's');
  expect(slowestMs).toBeLessThan(10_000);
});

test('a coordinator whose worker does not go ends within 10 s of SIGTERM, and at once on the second one', async () => {
  for (const isAskedTwice of [false, true]) {
    const node = await world.node(`asked ${isAskedTwice ? 'twice' : 'once'}`);
    await node.start();
    const { tasks, types } = await world.operator(node);
    await types.applyTaskType({ taskType: { name: 'work' } });
    const worker = openRawWorker({
      address: node.grpcAddress,
      token: await world.identity.token('worker'),
      hello: { taskTypes: [{ taskType: 'work', slots: 1 }], slots: 1 },
    });
    await tasks.submitTask({ type: 'work' });
    worker.send(acceptance(leaseOf((await worker.assignments(1))[0])));
    const askedMs = performance.now();
    const ended = node.terminate();
    await worker.next('drain');
    // A signal that comes twice within a moment is taken for one.
    const again = isAskedTwice ? setInterval(() => node.askToStop(), 200) : undefined;
    await ended;
    clearInterval(again);
    const tookMs = performance.now() - askedMs;
    figure(`end after ${isAskedTwice ? 'two signals' : 'one signal'}, with a worker that stays`, tookMs / 1_000, 's');
    expect(tookMs).toBeLessThan(isAskedTwice ? 2_000 : 10_000);
    worker.cut();
  }
});
