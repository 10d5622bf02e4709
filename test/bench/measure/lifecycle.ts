import type { Sample } from '../figures.ts';
import type { LoadSettings } from '../load/messages.ts';
import { lifecycleType, type World } from '../world.ts';
import { type Load, type LoadName, withLoad } from './load.ts';
import type { Measure } from './measure.ts';
import { cpuDuring } from './use.ts';

/**
 * A batch producer and one worker: tasks over the time from the first submission to the last settled result, so that
 * the worker's way to the end counts. Every task must have ended well.
 */
export const measureLifecycle: Measure = async ({ world, subject, seconds }) => {
  const ours = subject === 'dstc';
  const settings = {
    seconds,
    access: ours ? world.access : world.peerUrl,
    taskType: lifecycleType,
    localQueue: subject === 'graphile-worker, local queue',
  };
  const { count, result, cpuMicroseconds } = ours
    ? await runLifecycle(world, settings)
    : await produceAndWork(world, settings, ['peer-produce', 'peer-work']);

  const figure = 'lifecycle';
  const samples: Sample[] = [{ figure, unit: 'tasks/s', subject, value: count / result.seconds, target: '>= 4,000' }];
  if (ours)
    samples.push({ figure: 'lifecycle, coordinator', unit: 'µs CPU each', subject, value: cpuMicroseconds / count });
  return samples;
};

/** With DSTC; every task must have ended well. */
export async function runLifecycle(world: World, settings: LoadSettings): Promise<Lifecycle> {
  const endedBefore = await endedTasks(world, settings.taskType);
  const lifecycle = await produceAndWork(world, settings, ['dstc-produce', 'dstc-work']);
  const ended = (await endedTasks(world, settings.taskType)) - endedBefore;
  if (ended !== lifecycle.count) throw new Error(`${lifecycle.count} tasks were submitted and ${ended} ended well`);
  return lifecycle;
}

interface Lifecycle {
  readonly count: number;
  readonly result: { readonly seconds: number };
  readonly cpuMicroseconds: number;
}

async function produceAndWork(
  world: World,
  settings: LoadSettings,
  [produce, work]: readonly [LoadName, LoadName],
): Promise<Lifecycle> {
  const { result, cpuMicroseconds } = await withLoad(world, work, settings, (worker) =>
    withLoad(world, produce, settings, (producer) => cpuDuring(world, () => runToTheEnd(producer, worker))),
  );
  return { count: result.count, result, cpuMicroseconds };
}

async function runToTheEnd(producer: Load, worker: Load): Promise<{ count: number; seconds: number }> {
  const startMs = performance.now();
  worker.onHandled((count) => producer.send({ kind: 'handled', count }));
  const producing = producer.go().then(({ count }) => {
    worker.send({ kind: 'finish', count });
    return count;
  });
  const [count] = await Promise.all([producing, worker.go()]);
  return { count, seconds: (performance.now() - startMs) / 1_000 };
}

async function endedTasks({ sql }: World, type: string): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM task WHERE type = ${type} AND state = 'SUCCEEDED'`;
  return row?.count ?? Number.NaN;
}
