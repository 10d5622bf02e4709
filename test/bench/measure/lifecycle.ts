import type { Sample } from '../figures.ts';
import { lifecycleType, type World } from '../world.ts';
import { type Load, withLoad } from './load.ts';
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
  const endedBefore = ours ? await endedTasks(world) : 0;
  const { result, cpuMicroseconds } = await withLoad(world, ours ? 'dstc-work' : 'peer-work', settings, (worker) =>
    withLoad(world, ours ? 'dstc-produce' : 'peer-produce', settings, (producer) =>
      cpuDuring(world, () => runToTheEnd(producer, worker)),
    ),
  );
  const { count } = result;
  const ended = ours ? (await endedTasks(world)) - endedBefore : count;
  if (ended !== count) throw new Error(`${count} tasks were submitted and ${ended} ended well`);

  const figure = 'lifecycle';
  const samples: Sample[] = [{ figure, unit: 'tasks/s', subject, value: count / result.seconds, target: '>= 4,000' }];
  if (ours)
    samples.push({ figure: 'lifecycle, coordinator', unit: 'µs CPU each', subject, value: cpuMicroseconds / count });
  return samples;
};

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

async function endedTasks({ sql }: World): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM task WHERE type = ${lifecycleType} AND state = 'SUCCEEDED'`;
  return row?.count ?? Number.NaN;
}
