import { quantile } from '../statistics.ts';
import { latencyType } from '../world.ts';
import { withLoad } from './load.ts';
import type { Measure } from './measure.ts';

/** From the call that submits a task to the start of its handler, with nothing else going on. */
export const measureLatency: Measure = async ({ world, subject, seconds }) => {
  const ours = subject === 'dstc';
  const settings = { seconds, access: ours ? world.access : world.peerUrl, taskType: latencyType };
  const { latenciesMs } = await withLoad(world, ours ? 'dstc-latency' : 'peer-latency', settings, (load) => load.go());
  return [
    { figure: 'submit to start, median', unit: 'ms', subject, value: quantile(latenciesMs, 0.5), target: '< 10' },
    { figure: 'submit to start, p99', unit: 'ms', subject, value: quantile(latenciesMs, 0.99) },
  ];
};
