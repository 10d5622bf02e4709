import { latencyType } from '../world.ts';
import { withLoad } from './load.ts';
import type { Measure } from './measure.ts';
import { cpuDuring } from './use.ts';

/** Postgres tells its counts about once a second; a shorter time would miss some or count some of before. */
const secondsMin = 3;

/**
 * What a coordinator costs with one idle worker stream. Its statements are transactions of their own when it is idle, so
 * that the counter of its database has them all; what the benchmark asks goes to another database.
 */
export const measureIdle: Measure = async ({ world, subject, seconds: asked }) => {
  const seconds = Math.max(asked, secondsMin);
  const settings = { seconds, access: world.access, taskType: latencyType };
  const { commits, cpuMicroseconds } = await withLoad(world, 'dstc-idle', settings, async (load) => {
    await pause(secondsMin * 1_000);
    const before = await world.commits();
    const { cpuMicroseconds } = await cpuDuring(world, load.go);
    return { commits: (await world.commits()) - before, cpuMicroseconds };
  });
  const { residentBytes, residentBytesMax } = await world.use();
  const mebibytes = (bytes: number) => bytes / 1024 / 1024;
  return [
    { figure: 'idle, statements', unit: 'per s', subject, value: commits / seconds, target: 'a few' },
    {
      figure: 'idle, coordinator',
      unit: '% of a core',
      subject,
      value: (cpuMicroseconds / seconds / 1_000_000) * 100,
      target: '< 2',
    },
    { figure: 'memory, idle', unit: 'MiB', subject, value: mebibytes(residentBytes) },
    { figure: 'memory, most so far', unit: 'MiB', subject, value: mebibytes(residentBytesMax) },
  ];
};

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
