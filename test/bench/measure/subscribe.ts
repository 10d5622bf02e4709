import { setTimeout as pause } from 'node:timers/promises';
import type { Sample } from '../figures.ts';
import { subscribeType } from '../world.ts';
import { withLoad } from './load.ts';
import type { Measure, MeasureDeps } from './measure.ts';
import { cpuDuring } from './use.ts';

const counts = [1, 200];
const sampleMs = 200;

/** The same events for one subscriber and for many, and what the coordinator takes for it. */
export const measureSubscribe: Measure = async (deps) => {
  const samples: Sample[] = [];
  for (const subscribers of counts) samples.push(...(await measureWith(deps, subscribers)));
  return samples;
};

async function measureWith({ world, subject, seconds }: MeasureDeps, subscribers: number): Promise<Sample[]> {
  const settings = { seconds, access: world.access, taskType: subscribeType, subscribers };
  return withLoad(world, 'dstc-subscribe', settings, async (load) => {
    let residentBytes = 0;
    let isOver = false;
    const sampling = (async () => {
      while (!isOver) {
        residentBytes = Math.max(residentBytes, (await world.use()).residentBytes);
        await pause(sampleMs);
      }
    })();
    const { result, cpuMicroseconds } = await cpuDuring(world, load.go);
    isOver = true;
    await sampling;
    const figure = `events, ${subscribers} subscriber${subscribers === 1 ? '' : 's'}`;
    return [
      { figure, unit: 'delivered/s', subject, value: result.count / result.seconds },
      { figure: `${figure}, coordinator`, unit: 'µs CPU each', subject, value: cpuMicroseconds / result.count },
      { figure: `${figure}, memory`, unit: 'MiB', subject, value: residentBytes / 1024 / 1024 },
    ];
  });
}
