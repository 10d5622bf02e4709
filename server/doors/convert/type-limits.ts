import { create } from '@bufbuild/protobuf';
import {
  LimitKeySchema,
  type Rate as RateMessage,
  RateSchema,
  type TaskTypeLimits,
  TaskTypeLimitsSchema,
} from '@dstc/contract/dstc/v1/task_type_pb';
import { fieldInvalid } from '../../domain/errors.ts';
import type { LimitKeySource, Rate, TypeLimits } from '../../domain/type-limits.ts';
import { optionalMs, toDuration } from './time.ts';

const intervalMsDefault = 1_000;

/** Limits with their defaults filled in; null when there are none. */
export function typeLimitsOf(field: string, message: TaskTypeLimits | undefined): TypeLimits | null {
  if (message === undefined) return null;
  const limits: TypeLimits = {
    key: keyOf(message),
    concurrencyMax: message.concurrencyMax || null,
    concurrencyPerKeyMax: message.concurrencyPerKeyMax || null,
    rate: rateOf(`${field}.rate`, message.rate),
    ratePerKey: rateOf(`${field}.rate_per_key`, message.ratePerKey),
    queueMax: message.queueMax || null,
  };
  const perKey = limits.concurrencyPerKeyMax === null ? 'rate_per_key' : 'concurrency_per_key_max';
  if (limits.key === null && (limits.concurrencyPerKeyMax ?? limits.ratePerKey) !== null) {
    throw fieldInvalid(`${field}.key`, `is needed for ${perKey}`);
  }
  return Object.values(limits).every((limit) => limit === null) ? null : limits;
}

function keyOf({ key }: TaskTypeLimits): LimitKeySource | null {
  switch (key?.source.case) {
    case undefined:
      return null;
    case 'label':
      return { kind: 'label', label: key.source.value };
    case 'inputPointer':
      return { kind: 'input', pointer: key.source.value };
  }
}

function rateOf(field: string, message: RateMessage | undefined): Rate | null {
  if (message === undefined) return null;
  const { tasks, burst } = message;
  return {
    tasks,
    intervalMs: optionalMs(`${field}.interval`, message.interval) ?? intervalMsDefault,
    burst: burst || tasks,
  };
}

export function toTypeLimits(limits: TypeLimits): TaskTypeLimits {
  const message = create(TaskTypeLimitsSchema, {
    concurrencyMax: limits.concurrencyMax ?? 0,
    concurrencyPerKeyMax: limits.concurrencyPerKeyMax ?? 0,
    queueMax: limits.queueMax ?? 0,
  });
  if (limits.key !== null) message.key = create(LimitKeySchema, { source: toKeySource(limits.key) });
  if (limits.rate !== null) message.rate = toRate(limits.rate);
  if (limits.ratePerKey !== null) message.ratePerKey = toRate(limits.ratePerKey);
  return message;
}

function toKeySource(source: LimitKeySource) {
  switch (source.kind) {
    case 'label':
      return { case: 'label', value: source.label } as const;
    case 'input':
      return { case: 'inputPointer', value: source.pointer } as const;
  }
}

function toRate({ tasks, intervalMs, burst }: Rate): RateMessage {
  return create(RateSchema, { tasks, interval: toDuration(intervalMs), burst });
}
