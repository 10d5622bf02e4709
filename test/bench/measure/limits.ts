import { type LimitKind, lifecycleType, limitedTypes } from '../world.ts';
import { runLifecycle } from './lifecycle.ts';
import type { Measure, Subject } from './measure.ts';

/** Tenants of the loads with a key. */
const keys = 100;

const kindOf: Readonly<Partial<Record<Subject, LimitKind>>> = {
  'dstc, concurrency': 'concurrency',
  'dstc, key': 'key',
  'dstc, rate': 'rate',
  'dstc, all per key': 'perKey',
};

/** The whole lifecycle again, of types with limits that do not bind: what it costs to keep to them. */
export const measureLimits: Measure = async ({ world, subject, seconds }) => {
  const kind = kindOf[subject];
  const settings = {
    seconds,
    access: world.access,
    taskType: kind === undefined ? lifecycleType : limitedTypes[kind].name,
    ...((kind === 'key' || kind === 'perKey') && { keys }),
  };
  const { count, result, cpuMicroseconds } = await runLifecycle(world, settings);
  return [
    { figure: 'limits, lifecycle', unit: 'tasks/s', subject, value: count / result.seconds },
    { figure: 'limits, coordinator', unit: 'µs CPU each', subject, value: cpuMicroseconds / count },
  ];
};
