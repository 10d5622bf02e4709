import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { startTestNats, type TestNats, testNatsProgram } from '../../setup/nats.ts';
import type { Sample } from '../figures.ts';
import { quantile } from '../statistics.ts';
import { lifecycleType, type World } from '../world.ts';
import { runLifecycle } from './lifecycle.ts';
import type { Measure } from './measure.ts';

const tasksPerSecond = 1_000;
const warmUpSecondsMax = 5;
/** Of a load that has just begun. */
const rampUpMs = 1_000;
const catchUpMsMax = 300_000;
const lookMs = 20;
/** Of each of the two that are compared. */
const turns = 2;

let worlds = 0;

/**
 * The lifecycle of a coordinator that publishes all events to NATS beside that of one that does not, and how late events
 * are. Each is a process of its own that has worked for a while: compilers and heaps have settled, in as many threads as it
 * has. They take turns, because a machine whose speed drifts says little of two loads that are minutes apart.
 */
export const measureRelay: Measure = async ({ world, seconds }) => {
  const program = await testNatsProgram();
  if (program === undefined) {
    console.error('there is no nats-server: what it costs to publish events is not measured');
    return [];
  }
  const nats = await startTestNats({ program });
  try {
    return await withCoordinators(world, nats, seconds, async (withNats, without) => [
      ...(await withConnection(nats, (connection) => measureInTurns({ withNats, without }, seconds, connection))),
      ...(await withConnection(nats, (connection) => measureLag(withNats, seconds, connection))),
      ...(await measureBacklog(withNats, seconds, nats)),
    ]);
  } finally {
    await nats.stop();
  }
};

async function withCoordinators(
  world: World,
  nats: TestNats,
  seconds: number,
  measure: (withNats: World, without: World) => Promise<Sample[]>,
): Promise<Sample[]> {
  const withNats = await warmedUp(world, { NATS_URL: nats.url }, seconds);
  try {
    const without = await warmedUp(world, {}, seconds);
    try {
      return await measure(withNats, without);
    } finally {
      await without.stop();
    }
  } finally {
    await withNats.stop();
  }
}

async function warmedUp(world: World, env: Readonly<Record<string, string>>, seconds: number): Promise<World> {
  worlds += 1;
  const coordinator = { ...world, ...(await world.another(`relay_${worlds}`, env)) };
  await runFor(coordinator, Math.min(seconds, warmUpSecondsMax));
  return coordinator;
}

function runFor(world: World, seconds: number, more: { readonly tasksPerSecond?: number } = {}) {
  return runLifecycle(world, { seconds, access: world.access, taskType: lifecycleType, ...more });
}

async function withConnection<Result>(nats: TestNats, use: (connection: NatsConnection) => Promise<Result>) {
  const connection = await connect({ servers: `127.0.0.1:${nats.port}` });
  try {
    return await use(connection);
  } finally {
    await connection.close();
  }
}

interface Contestants {
  readonly withNats: World;
  readonly without: World;
}

async function measureInTurns({ withNats, without }: Contestants, seconds: number, connection: NatsConnection) {
  const manager = await jetstreamManager(connection);
  await untilAllOut(withNats, manager);
  const relay = { tasks: 0, seconds: 0, cpuMicroseconds: 0, eventsDuring: 0, events: 0, secondsInAll: 0 };
  const plain = { tasks: 0, seconds: 0, cpuMicroseconds: 0 };

  async function turnOfRelay(): Promise<void> {
    const before = await messagesIn(manager);
    const usedBefore = await withNats.use();
    const startMs = performance.now();
    const { count, result } = await runFor(withNats, seconds);
    relay.eventsDuring += (await messagesIn(manager)) - before;
    await untilAllOut(withNats, manager);
    relay.secondsInAll += (performance.now() - startMs) / 1_000;
    // All of it, also what came out after the last task had ended.
    relay.cpuMicroseconds += (await withNats.use()).cpuMicroseconds - usedBefore.cpuMicroseconds;
    relay.events += (await messagesIn(manager)) - before;
    relay.tasks += count;
    relay.seconds += result.seconds;
  }

  async function turnOfPlain(): Promise<void> {
    const { count, result, cpuMicroseconds } = await runFor(without, seconds);
    plain.tasks += count;
    plain.seconds += result.seconds;
    plain.cpuMicroseconds += cpuMicroseconds;
  }

  for (let turn = 0; turn < turns; turn += 1) {
    const [one, other] = turn % 2 === 0 ? [turnOfRelay, turnOfPlain] : [turnOfPlain, turnOfRelay];
    await one();
    await other();
  }
  const [subject, rival] = ['dstc', 'dstc, without NATS'];
  const [lifecycle, coordinator] = [
    { figure: 'with NATS, lifecycle', unit: 'tasks/s' },
    { figure: 'with NATS, coordinator', unit: 'µs CPU each' },
  ];
  return [
    { ...lifecycle, subject, value: relay.tasks / relay.seconds, target: '>= 0.85 of without' },
    { ...lifecycle, subject: rival, value: plain.tasks / plain.seconds },
    { ...coordinator, subject, value: relay.cpuMicroseconds / relay.tasks },
    { ...coordinator, subject: rival, value: plain.cpuMicroseconds / plain.tasks },
    ...[
      { figure: 'events to NATS, while tasks flow', value: relay.eventsDuring / relay.seconds },
      { figure: 'events to NATS, in all', value: relay.events / relay.secondsInAll, target: '>= 10,000' },
    ].map((sample) => ({ ...sample, unit: 'events/s', subject })),
  ] satisfies Sample[];
}

/** From the begin of an event's transaction to a consumer, at a steady rate. */
async function measureLag(world: World, seconds: number, connection: NatsConnection): Promise<Sample[]> {
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
  await runFor(world, seconds + rampUpMs / 1_000, { tasksPerSecond });
  await untilAllOut(world, await jetstreamManager(connection));
  subscription.unsubscribe();
  const [figure, subject] = [`events to NATS at ${tasksPerSecond} tasks/s, lag`, 'dstc'];
  return [
    { figure: `${figure} median`, unit: 'ms', subject, value: quantile(lagsMs, 0.5) },
    { figure: `${figure} p99`, unit: 'ms', subject, value: quantile(lagsMs, 0.99), target: '< 250' },
  ];
}

/** What was written while NATS was away, once it is back and there is nothing else to do. */
async function measureBacklog(world: World, seconds: number, nats: TestNats): Promise<Sample[]> {
  await nats.kill();
  await runFor(world, seconds);
  await nats.restart();
  return withConnection(nats, async (connection) => {
    const manager = await jetstreamManager(connection);
    const before = await messagesIn(manager);
    while ((await messagesIn(manager)) === before) await pause();
    const startMs = performance.now();
    const [first, usedBefore] = await Promise.all([messagesIn(manager), world.use()]);
    await untilAllOut(world, manager);
    const [last, used] = await Promise.all([messagesIn(manager), world.use()]);
    const [figure, subject] = ['events to NATS, a backlog', 'dstc'];
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
