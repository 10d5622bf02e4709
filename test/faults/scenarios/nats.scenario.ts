import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CoordinatorProcess } from '../../setup/coordinator-process.ts';
import { startTestNats, type TestNats, testNatsProgram } from '../../setup/nats.ts';
import { readStream } from '../../setup/read-stream.ts';
import { unpublishedEvents } from '../../storm/events-at-start.ts';
import { createSightings, type Sightings, see, selectHappened, unseen } from '../../storm/sightings.ts';
import type { Load } from '../load.ts';
import { figure, startWorld, type World } from './world.ts';

const program = await testNatsProgram();
const tasksPerSecond = 200;
/** So that a machine that is slower than that shows its speed and no queue. */
const tasksUnderWayMax = 60;

describe.skipIf(program === undefined)('with NATS', () => {
  let world: World;
  let nats: TestNats;
  let nodes: CoordinatorProcess[];
  let load: Load;
  /** What a reader of the stream has seen, by the life of the stream. */
  let lives: Map<string, Sightings>;
  let unpublished: ReadonlySet<string>;
  let over: AbortController;
  let reading: Promise<void>;
  let submitted: number;

  beforeEach(async () => {
    if (program === undefined) throw new Error('there is no nats-server');
    [world, nats] = await Promise.all([startWorld(), startTestNats({ program })]);
    const settings = { NATS_URL: nats.url };
    nodes = [await world.node('one', { settings }), await world.node('other', { settings })];
    await Promise.all(nodes.map((node) => node.start()));
    over = new AbortController();
    unpublished = new Set(await unpublishedEvents(world.postgres.url, over.signal));
    lives = new Map();
    submitted = 0;
    reading = readStream({ url: nats.url, stream: 'dstc', signal: over.signal }, (life, events) => {
      const sightings = lives.get(life) ?? createSightings();
      lives.set(life, sightings);
      see(sightings, events);
    });
    load = await world.load(nodes, { taskMs: 5 });
    await load.addWorker();
  });
  afterEach(async () => {
    over.abort();
    await reading;
    await world.stop();
    await nats.stop();
  });

  const onStream = () => [...lives.values()].at(-1) ?? createSightings();

  /** All that has happened is on the stream, in order. */
  async function untilWhole(withinMs: number): Promise<number> {
    await load.untilEnded(world.sql, 60_000);
    const happened = await selectHappened(world.sql);
    const missing = () => unseen(happened, onStream()).filter((id) => !unpublished.has(id)).length;
    await expect.poll(missing, { timeout: withinMs, interval: 100 }).toBe(0);
    expect(onStream().late).toEqual([]);
    return happened.count;
  }

  /** Submits evenly for so long, and slower while too many tasks are under way; resolves once all was acknowledged. */
  async function submitFor(seconds: number): Promise<void> {
    const [startedMs, turnTasks] = [performance.now(), tasksPerSecond / 10];
    const calls: Promise<void>[] = [];
    for (let atMs = startedMs; performance.now() < startedMs + seconds * 1_000; atMs += 100) {
      await load.untilHandled(submitted - tasksUnderWayMax + turnTasks);
      await pause(Math.max(0, atMs - performance.now()));
      calls.push(load.submit(turnTasks));
      submitted += turnTasks;
    }
    await Promise.all(calls);
  }

  const now = async () => (await world.sql<{ now: Date }[]>`SELECT now()`)[0]?.now ?? new Date(Number.NaN);

  /** Of the tasks that ended in a time: how many a second, and how long they took from their submission on. */
  async function speedOf(from: Date, to: Date) {
    const seconds = (to.getTime() - from.getTime()) / 1_000;
    const [row] = await world.sql<{ ended: number; times: number[] }[]>`
      SELECT count(*)::int AS ended,
        percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM finished_time - create_time) * 1000)
          AS times
      FROM task WHERE finished_time >= ${from} AND finished_time < ${to}`;
    const [median = Number.NaN, worst = Number.NaN] = row?.times ?? [];
    return { perSecond: (row?.ended ?? 0) / seconds, median, worst };
  }

  async function lagSeconds(): Promise<number> {
    const headers = { authorization: `Bearer ${await world.identity.token('operator')}` };
    const metrics = await (await fetch(`${nodes[0]?.httpUrl}/metrics`, { headers })).text();
    return Number(/^dstc_event_lag_seconds\{reader="nats"\} (\S+)$/m.exec(metrics)?.[1]);
  }

  test('NATS down for 30 s under load: tasks do not notice, the lag grows and goes, and the stream has everything', async () => {
    await submitFor(5);
    const from = await now();
    await submitFor(20);
    const down = await now();
    await nats.kill();
    await submitFor(30);
    const lag = await lagSeconds();
    const up = await now();
    await nats.restart();
    const backMs = performance.now();
    const events = await untilWhole(60_000);
    const caughtUpMs = performance.now() - backMs;
    const [before, during] = [await speedOf(from, down), await speedOf(down, up)];
    figure('tasks a second while NATS was down', during.perSecond, `, before ${before.perSecond.toFixed(1)}`);
    figure('a task from submission to end, median', during.median, `ms, before ${before.median.toFixed(1)} ms`);
    figure('a task from submission to end, 99th percentile', during.worst, `ms, before ${before.worst.toFixed(1)} ms`);
    figure('lag at the end of the outage', lag, 's');
    figure(`until all of ${events} events were on the stream`, caughtUpMs / 1_000, 's');
    expect(lag).toBeGreaterThan(20);
    await expect.poll(lagSeconds, { timeout: 10_000 }).toBeLessThan(2);
    expect(lives.size).toBe(1);
    expect(during.perSecond).toBeGreaterThan(0.8 * before.perSecond);
    expect(during.median).toBeLessThan(2 * before.median + 50);
  });

  test('NATS loses its store under load: the stream is made anew and has all history, in order', async () => {
    await submitFor(20);
    await nats.restart('emptied');
    const backMs = performance.now();
    const submitting = submitFor(10);
    await expect.poll(() => lives.size, { timeout: 30_000, interval: 50 }).toBe(2);
    figure('until the stream was there again', (performance.now() - backMs) / 1_000, 's');
    await submitting;
    const events = await untilWhole(60_000);
    figure(
      `until it had all ${events} events, with tasks going on for 10 s`,
      (performance.now() - backMs) / 1_000,
      's',
    );
  });

  test('kill -9 of a coordinator that publishes: another one goes on with its share within 10 s, and the stream has everything', async () => {
    const [first, second] = nodes;
    if (first === undefined || second === undefined) throw new Error('there are no two coordinators');
    const holders = async () => {
      const rows = await world.sql<{ node: string | null }[]>`
        SELECT split_part(node, '/', 1) AS node FROM event_reader WHERE reader = 'nats' ORDER BY node`;
      return rows.map(({ node }) => node);
    };
    const share = (node: string) => Array.from({ length: 4 }, () => node);
    await expect.poll(holders, { timeout: 20_000 }).toEqual([...share('one'), ...share('other')]);
    const submitting = submitFor(15);
    await pause(3_000);
    await first.kill();
    const killedMs = performance.now();
    await expect.poll(holders, { timeout: 20_000, interval: 50 }).toEqual([...share('other'), ...share('other')]);
    const tookMs = performance.now() - killedMs;
    figure('until another coordinator published what was the share of one that was killed', tookMs / 1_000, 's');
    await first.start();
    await submitting;
    await untilWhole(60_000);
    expect(tookMs).toBeLessThan(10_000);
  });
});
