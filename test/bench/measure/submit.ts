import { quantile } from '../statistics.ts';
import { submitType } from '../world.ts';
import { withLoad } from './load.ts';
import type { Measure } from './measure.ts';
import { cpuDuring } from './use.ts';

/** 64 callers in flight, each with one task at a time. */
export const measureSubmit: Measure = async ({ world, subject, seconds }) => {
  const settings = { seconds, access: subject === 'dstc' ? world.access : world.peerUrl, taskType: submitType };
  const name = subject === 'dstc' ? 'dstc-submit' : 'peer-submit';
  const { result, cpuMicroseconds } = await withLoad(world, name, settings, (load) => cpuDuring(world, load.go));
  const { count, latenciesMs } = result;
  return [
    {
      figure: 'single submits',
      unit: 'calls/s',
      subject,
      value: latenciesMs.length / result.seconds,
      target: '>= 3,000',
    },
    { figure: 'single submits, p50', unit: 'ms', subject, value: quantile(latenciesMs, 0.5) },
    { figure: 'single submits, p99', unit: 'ms', subject, value: quantile(latenciesMs, 0.99) },
    ...(subject === 'dstc'
      ? [{ figure: 'single submits, coordinator', unit: 'µs CPU each', subject, value: cpuMicroseconds / count }]
      : []),
  ];
};
