import { create } from '@bufbuild/protobuf';
import {
  type Deadlines,
  type RetryPolicy as RetryPolicyMessage,
  RetryPolicySchema,
} from '@dstc/contract/dstc/v1/task_pb';
import { fieldInvalid } from '../../domain/errors.ts';
import { retryPolicyDefault } from '../../domain/limits.ts';
import type { RetryPolicy } from '../../domain/retry.ts';
import { optionalMs, toDuration } from './time.ts';

/** A policy with its defaults filled in. */
export function retryPolicyOf(field: string, message: RetryPolicyMessage): RetryPolicy {
  return {
    attemptsMax: message.attemptsMax || retryPolicyDefault.attemptsMax,
    initialDelayMs: optionalMs(`${field}.initial_delay`, message.initialDelay) ?? retryPolicyDefault.initialDelayMs,
    multiplier: message.multiplier || retryPolicyDefault.multiplier,
    delayMsMax: optionalMs(`${field}.delay_max`, message.delayMax) ?? retryPolicyDefault.delayMsMax,
    nonRetryableCodes: message.nonRetryableCodes,
  };
}

export function toRetryPolicy(policy: RetryPolicy): RetryPolicyMessage {
  return create(RetryPolicySchema, {
    attemptsMax: policy.attemptsMax,
    initialDelay: toDuration(policy.initialDelayMs),
    multiplier: policy.multiplier,
    delayMax: toDuration(policy.delayMsMax),
    nonRetryableCodes: [...policy.nonRetryableCodes],
  });
}

export interface DeadlineMs {
  readonly startMs: number | undefined;
  readonly deliveryMs: number | undefined;
  readonly heartbeatMs: number | undefined;
  readonly runMs: number | undefined;
  readonly totalMs: number | undefined;
}

export function deadlinesOf(field: string, message: Deadlines | undefined): DeadlineMs {
  return {
    startMs: positive(`${field}.start`, optionalMs(`${field}.start`, message?.start)),
    deliveryMs: optionalMs(`${field}.delivery`, message?.delivery),
    heartbeatMs: optionalMs(`${field}.heartbeat`, message?.heartbeat),
    runMs: positive(`${field}.run`, optionalMs(`${field}.run`, message?.run)),
    totalMs: positive(`${field}.total`, optionalMs(`${field}.total`, message?.total)),
  };
}

function positive(field: string, ms: number | undefined): number | undefined {
  if (ms === 0) throw fieldInvalid(field, 'is shorter than a millisecond');
  return ms;
}
