import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, durationMs } from '@bufbuild/protobuf/wkt';
import type { Rate, RateSchema, TaskTypeLimits, TaskTypeLimitsSchema } from '@dstc/contract/dstc/v1/task_type_pb';

/** How much of a type's work may wait and run, over all workers and nodes; what is left out is no limit. */
export interface LimitOptions {
  /** Tasks of different keys take turns, and limits per key count by it. */
  readonly key?: LimitKeyOptions | undefined;
  /** Tasks that may run at the same time. */
  readonly concurrencyMax?: number | undefined;
  readonly concurrencyPerKeyMax?: number | undefined;
  /** How fast tasks are given out. */
  readonly rate?: RateOptions | undefined;
  readonly ratePerKey?: RateOptions | undefined;
  /** Tasks that may wait; a submission beyond is refused with `QUEUE_FULL`. */
  readonly queueMax?: number | undefined;
}

/** Where the key of a task comes from: one of them. */
export interface LimitKeyOptions {
  readonly label?: string | undefined;
  /** A JSON Pointer into the input, such as `/customer/id`. */
  readonly inputPointer?: string | undefined;
}

/** So many tasks in each interval, spread evenly. */
export interface RateOptions {
  readonly tasks: number;
  /** A second, when left out. */
  readonly intervalMs?: number | undefined;
  /** Tasks that may come at once after a quiet time; `tasks`, when left out. */
  readonly burst?: number | undefined;
}

export function limitsInit(options: LimitOptions): MessageInitShape<typeof TaskTypeLimitsSchema> {
  const { key, concurrencyMax = 0, concurrencyPerKeyMax = 0, rate, ratePerKey, queueMax = 0 } = options;
  return {
    concurrencyMax,
    concurrencyPerKeyMax,
    queueMax,
    ...(key !== undefined && { key: { source: keySource(key) } }),
    ...(rate !== undefined && { rate: rateInit(rate) }),
    ...(ratePerKey !== undefined && { ratePerKey: rateInit(ratePerKey) }),
  };
}

function keySource({ label, inputPointer }: LimitKeyOptions) {
  if ((label === undefined) === (inputPointer === undefined)) {
    throw new TypeError('limits.key takes either a label or an inputPointer');
  }
  return label === undefined
    ? ({ case: 'inputPointer', value: inputPointer ?? '' } as const)
    : ({ case: 'label', value: label } as const);
}

function rateInit({ tasks, intervalMs, burst = 0 }: RateOptions): MessageInitShape<typeof RateSchema> {
  return { tasks, burst, ...(intervalMs !== undefined && { interval: durationFromMs(intervalMs) }) };
}

export function limitOptionsOf(limits: TaskTypeLimits): LimitOptions {
  const { key, concurrencyMax, concurrencyPerKeyMax, rate, ratePerKey, queueMax } = limits;
  return {
    ...(key?.source.case === 'label' && { key: { label: key.source.value } }),
    ...(key?.source.case === 'inputPointer' && { key: { inputPointer: key.source.value } }),
    ...(concurrencyMax > 0 && { concurrencyMax }),
    ...(concurrencyPerKeyMax > 0 && { concurrencyPerKeyMax }),
    ...(rate !== undefined && { rate: rateOptionsOf(rate) }),
    ...(ratePerKey !== undefined && { ratePerKey: rateOptionsOf(ratePerKey) }),
    ...(queueMax > 0 && { queueMax }),
  };
}

function rateOptionsOf({ tasks, interval, burst }: Rate): RateOptions {
  return { tasks, burst, intervalMs: interval && durationMs(interval) };
}
