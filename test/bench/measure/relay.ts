import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { startTestNats, type TestNats, testNatsProgram } from '../../setup/nats.ts';
import type { Sample } from '../figures.ts';
import { quantile } from '../statistics.ts';
import { lifecycleType, type World } from '../world.ts';
import { runLifecycle } from './lifecycle.ts';
import type { Measure, MeasureDeps } from './measure.ts';

const tasksPerSecond = 1_000;
const warmUpSecondsMax = 5;
/** Of a load that has just begun. */
const rampUpMs = 1_000;
const catchUpMsMax = 300_000;
const lookMs = 20;

let worlds = 0;

/**
 * The lifecycle of a coordinator that publishes all events to NATS beside that of one that does not, and how late events
 * are. Each is a process of its own that has worked for a while: compilers and heaps have settled, in as many threads as it has.
 */
export const measureRelay: Measure = async (deps) => {
  const program = await testNatsProgram();
  if (program === undefined) {
    if (deps.subject === 'dstc')
      console.error('there is no nats-server: what it costs to publish events is not measured');
    return [];
  }
  if (deps.subject !== 'dstc') return withCoordinator(deps, {}, measureWithout);
  const nats = await startTestNats({ program });
  try {
    return await withCoordinator(deps, { NATS_URL: nats.url }, async (withNats) => [
      ...(await withConnection(nats, (connection) => measureWith(withNats, connection))),
      ...(await withConnection(nats, (connection) => measureLag(withNats, connection))),
      ...(await measureBacklog(withNats, nats)),
    ]);
  } finally {
    await nats.stop();
  }
};

async function withCoordinator(deps: MeasureDeps, env: Readonly<Record<string, string>>, measure: Measure) {
  worlds += 1;
  const coordinator = await deps.world.another(`relay_${worlds}`, env);
  try {
    const world = { ...deps.world, ...coordinator };
    const seconds = Math.min(deps.seconds, warmUpSecondsMax);
    await runLifecycle(world, { seconds, access: world.access, taskType: lifecycleType });
    return await measure({ ...deps, world });
  } finally {
    await coordinator.stop();
  }
}

async function withConnection<Result>(nats: TestNats, use: (connection: NatsConnection) => Promise<Result>) {
  const connection = await connect({ servers: `127.0.0.1:${nats.port}` });
  try {
    return await use(connection);
  } finally {
    await connection.close();
  }
}

async function measureWithout({ world, subject, seconds }: MeasureDeps): Promise<Sample[]> {
  const settings = { seconds, access: world.access, taskType: lifecycleType };
  const { count, result, cpuMicroseconds } = await runLifecycle(world, settings);
  return [
    { figure: 'with NATS, lifecycle', unit: 'tasks/s', subject, value: count / result.seconds },
    { figure: 'with NATS, coordinator', unit: 'µs CPU each', subject, value: cpuMicroseconds / count },
  ];
}

async function measureWith({ world, subject, seconds }: MeasureDeps, connection: NatsConnection): Promise<Sample[]> {
  const manager = await jetstreamManager(connection);
  await untilAllOut(world, manager);
  const before = await messagesIn(manager);
  const usedBefore = await world.use();
  const startMs = performance.now();
  const { count, result } = await runLifecycle(world, { seconds, access: world.access, taskType: lifecycleType });
  const during = (await messagesIn(manager)) - before;
  await untilAllOut(world, manager);
  const tookMs = performance.now() - startMs;
  // All of it, also what came out after the last task had ended.
  const cpuMicroseconds = (await world.use()).cpuMicroseconds - usedBefore.cpuMicroseconds;
  const all = (await messagesIn(manager)) - before;
  return [
    {
      figure: 'with NATS, lifecycle',
      unit: 'tasks/s',
      subject,
      value: count / result.seconds,
      target: '>= 0.85 of without',
    },
    { figure: 'with NATS, coordinator', unit: 'µs CPU each', subject, value: cpuMicroseconds / count },
    { figure: 'events to NATS, while tasks flow', unit: 'events/s', subject, value: during / result.seconds },
    { figure: 'events to NATS, in all', unit: 'events/s', subject, value: all / (tookMs / 1_000), target: '>= 10,000' },
  ];
}

/** From the begin of an event's transaction to a consumer, at a steady rate. */
async function measureLag({ world, subject, seconds }: MeasureDeps, connection: NatsConnection): Promise<Sample[]> {
  const lagsMs: number[] = [];
  let fromMs = Number.POSITIVE_INFINITY;
  const subscription = connection.subscribe('dstc.>', {
    callback(_, message) {
      const nowMs = Date.now();
      if (nowMs >= fromMs) lagsMs.push(nowMs - Date.parse(message.headers?.get('ce-time') ?? ''));
    },
  });
  await connection.flush();
  fromMs = Date.now() + rampUpMs;
  const settings = { seconds: seconds + rampUpMs / 1_000, access: world.access, taskType: lifecycleType };
  await runLifecycle(world, { ...settings, tasksPerSecond });
  await untilAllOut(world, await jetstreamManager(connection));
  subscription.unsubscribe();
  const figure = `events to NATS at ${tasksPerSecond} tasks/s, lag`;
  return [
    { figure: `${figure} median`, unit: 'ms', subject, value: quantile(lagsMs, 0.5) },
    { figure: `${figure} p99`, unit: 'ms', subject, value: quantile(lagsMs, 0.99), target: '< 250' },
  ];
}

/** What was written while NATS was away, once it is back and there is nothing else to do. */
async function measureBacklog({ world, subject, seconds }: MeasureDeps, nats: TestNats): Promise<Sample[]> {
  await nats.kill();
  await runLifecycle(world, { seconds, access: world.access, taskType: lifecycleType });
  await nats.restart();
  return withConnection(nats, async (connection) => {
    const manager = await jetstreamManager(connection);
    const before = await messagesIn(manager);
    while ((await messagesIn(manager)) === before) await pause();
    const startMs = performance.now();
    const [first, usedBefore] = await Promise.all([messagesIn(manager), world.use()]);
    await untilAllOut(world, manager);
    const [last, used] = await Promise.all([messagesIn(manager), world.use()]);
    const figure = 'events to NATS, a backlog';
    const count = last - first;
    return [
      { figure, unit: 'events/s', subject, value: count / ((performance.now() - startMs) / 1_000) },
      {
        figure: `${figure}, coordinator`,
        unit: 'µs CPU each',
        subject,
        value: (used.cpuMicroseconds - usedBefore.cpuMicroseconds) / count,
      },
    ];
  });
}

async function untilAllOut(world: World, manager: JetStreamManager): Promise<void> {
  const wanted = await eventsOfTasks(world);
  for (const giveUpMs = performance.now() + catchUpMsMax; (await messagesIn(manager, '*.*.task.>')) < wanted; ) {
    if (performance.now() > giveUpMs) throw new Error(`not all of ${wanted} events came out in ${catchUpMsMax} ms`);
    await pause();
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, lookMs));
}

async function messagesIn(manager: JetStreamManager, filter?: string): Promise<number> {
  if (filter === undefined) return (await manager.streams.info('dstc')).state.messages;
  const { state } = await manager.streams.info('dstc', { subjects_filter: filter });
  return Object.values(state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
}

async function eventsOfTasks({ sql }: World): Promise<number> {
  const [row] = await sql<{ count: number }[]>`SELECT count(*)::int AS count FROM task_event`;
  return row?.count ?? Number.NaN;
}
