import { setTimeout as pause } from 'node:timers/promises';
import { Code, ConnectError } from '@connectrpc/connect';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { limits } from '../../../server/domain/limits.ts';
import { checkHistory } from '../../setup/check-history.ts';
import { startFaultProxy } from '../../setup/fault-proxy.ts';
import { figure, startWorld, type World } from './world.ts';

let world: World;
beforeEach(async () => {
  world = await startWorld();
});
afterEach(() => world.stop());

test('Postgres down for 30 s: calls say so in time, the first lease comes within 5 s of its return, and no attempt is burnt', async () => {
  const nodes = await world.nodes(3);
  const load = await world.load(nodes, { taskMs: 30 });
  await load.addWorker();
  const submitted = load.submit(3_000);
  await load.untilHandled(500);
  const { tasks } = await world.operator(nodes[0] ?? (await world.node('none')));
  await world.postgres.crash();
  const untilMs = performance.now() + 30_000;
  let slowestMs = 0;
  while (performance.now() < untilMs) {
    const askedMs = performance.now();
    const refused = await tasks.listTasks({}, { timeoutMs: 2_000 }).catch((error: unknown) => error);
    slowestMs = Math.max(slowestMs, performance.now() - askedMs);
    expect(refused).toBeInstanceOf(ConnectError);
    expect((refused as ConnectError).code).toBe(Code.Unavailable);
    await pause(250);
  }
  await world.postgres.start();
  await submitted;
  await load.untilEnded(world.sql, 60_000);
  const [first] = await world.sql<{ seconds: number }[]>`
    SELECT extract(epoch FROM min(time) - pg_postmaster_start_time())::float8 AS seconds FROM task_event
    WHERE kind = 'leased' AND time > pg_postmaster_start_time()`;
  figure('slowest refusal while Postgres was down', slowestMs, 'ms');
  figure('from the start of Postgres, recovery included, to the first lease', first?.seconds ?? Number.NaN, 's');
  const report = await checkHistory(world.sql, load.acknowledged);
  expect(report).toMatchObject({ tasks: 3_000, byState: { SUCCEEDED: 3_000 }, attemptMax: 1 });
  expect(slowestMs).toBeLessThan(2_250);
  expect(first?.seconds).toBeLessThan(5);
});

test('Postgres black-holed for 20 s: every call ends within the deadline of the database, and the pool recovers', async () => {
  const proxy = await startFaultProxy(world.postgres.port);
  try {
    const far = new URL(world.postgres.url);
    far.port = String(proxy.port);
    const node = await world.node('far', { databaseUrl: far.href });
    await node.start();
    const { tasks, types } = await world.operator(node);
    await types.applyTaskType({ taskType: { name: 'work' } });
    proxy.block();
    const untilMs = performance.now() + 20_000;
    let slowestMs = 0;
    let calls = 0;
    const caller = async () => {
      while (performance.now() < untilMs) {
        const askedMs = performance.now();
        const answer = await tasks.submitTask({ type: 'work' }).catch((error: unknown) => error);
        expect(answer).toBeInstanceOf(ConnectError);
        slowestMs = Math.max(slowestMs, performance.now() - askedMs);
        calls += 1;
      }
    };
    await Promise.all(Array.from({ length: 50 }, caller));
    proxy.heal();
    const healedMs = performance.now();
    const answers = () =>
      tasks.submitTask({ type: 'work' }).then(
        () => 'made',
        () => 'refused',
      );
    await expect.poll(answers, { timeout: 20_000, interval: 100 }).toBe('made');
    figure(`slowest of ${calls} calls while nothing came through`, slowestMs / 1_000, 's');
    figure('until a call succeeded when it did again', (performance.now() - healedMs) / 1_000, 's');
    // The statement's own time, and what the node adds to give up its connection.
    expect(slowestMs).toBeLessThan(2 * (limits.statementMsMax + 1_000) + 1_000);
  } finally {
    await proxy.close();
  }
});
