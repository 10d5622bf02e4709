import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { startTestNats, type TestNats, testNatsProgram } from '../../setup/nats.ts';
import type { Sample } from '../figures.ts';
import { quantile } from '../statistics.ts';
import { lifecycleType, type World } from '../world.ts';
import { runLifecycle } from './lifecycle.ts';
import type { Measure, MeasureDeps } from './measure.ts';

const tasksPerSecond = 1_000;
/** Until everything is warm, and no more is measured. */
const warmUpMs = 1_000;
const catchUpMsMax = 300_000;
const lookMs = 20;

let worlds = 0;

/** The lifecycle of a coordinator that publishes all events to NATS beside that of one that does not, and how late events are. */
export const measureRelay: Measure = async (deps) => {
  if (deps.subject !== 'dstc') return measureWithout(deps);
  const program = await testNatsProgram();
  if (program === undefined) {
    console.error('there is no nats-server: what it costs to publish events is not measured');
    return [];
  }
  const nats = await startTestNats({ program });
  worlds += 1;
  const coordinator = await deps.world.another(`relay_${worlds}`, { NATS_URL: nats.url });
  try {
    const withNats = { ...deps, world: { ...deps.world, ...coordinator } };
    return [
      ...(await withConnection(nats, (connection) => measureWith(withNats, connection))),
      ...(await withConnection(nats, (connection) => measureLag(withNats, connection))),
      ...(await measureBacklog(withNats, nats)),
    ];
  } finally {
    await coordinator.stop();
    await nats.stop();
  }
};

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
  await untilMade(manager);
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
  fromMs = Date.now() + warmUpMs;
  const settings = { seconds: seconds + warmUpMs / 1_000, access: world.access, taskType: lifecycleType };
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

/** The relay makes the stream when it has started, which is after the coordinator has. */
async function untilMade(manager: JetStreamManager): Promise<void> {
  for await (const { config } of manager.streams.list()) if (config.name === 'dstc') return;
  await pause();
  return untilMade(manager);
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
