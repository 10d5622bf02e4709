import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, durationMs } from '@bufbuild/protobuf/wkt';
import type { Deadlines, DeadlinesSchema, RetryPolicy, RetryPolicySchema } from '@dstc/contract/dstc/v1/task_pb';

/** When and how often a failed attempt is tried again; what is left out has the coordinator's default. */
export interface RetryOptions {
  /** Attempts in all, the first one included. */
  readonly attemptsMax?: number | undefined;
  /** Upper bound of the wait before the second attempt. */
  readonly initialDelayMs?: number | undefined;
  /** Growth of that bound with each attempt. */
  readonly multiplier?: number | undefined;
  readonly delayMaxMs?: number | undefined;
  /** Error codes that are never retried. */
  readonly nonRetryableCodes?: readonly string[] | undefined;
}

/** How long a task may stay where it is. */
export interface DeadlineOptions {
  /** From submission to the first lease. */
  readonly startMs?: number | undefined;
  /** From an assignment to its acceptance; no attempt is spent. */
  readonly deliveryMs?: number | undefined;
  /** From one progress of an attempt to the next; the attempt is lost. */
  readonly heartbeatMs?: number | undefined;
  /** One attempt. */
  readonly runMs?: number | undefined;
  /** From submission to the end. */
  readonly totalMs?: number | undefined;
}

export function retryPolicyInit(options: RetryOptions): MessageInitShape<typeof RetryPolicySchema> {
  const { attemptsMax = 0, initialDelayMs, multiplier = 0, delayMaxMs, nonRetryableCodes = [] } = options;
  return {
    attemptsMax,
    multiplier,
    nonRetryableCodes: [...nonRetryableCodes],
    ...(initialDelayMs !== undefined && { initialDelay: durationFromMs(initialDelayMs) }),
    ...(delayMaxMs !== undefined && { delayMax: durationFromMs(delayMaxMs) }),
  };
}

export function retryOptionsOf(policy: RetryPolicy): RetryOptions {
  return {
    attemptsMax: policy.attemptsMax,
    initialDelayMs: policy.initialDelay && durationMs(policy.initialDelay),
    multiplier: policy.multiplier,
    delayMaxMs: policy.delayMax && durationMs(policy.delayMax),
    nonRetryableCodes: policy.nonRetryableCodes,
  };
}

export function deadlinesInit(options: DeadlineOptions): MessageInitShape<typeof DeadlinesSchema> {
  const { startMs, deliveryMs, heartbeatMs, runMs, totalMs } = options;
  return {
    ...(startMs !== undefined && { start: durationFromMs(startMs) }),
    ...(deliveryMs !== undefined && { delivery: durationFromMs(deliveryMs) }),
    ...(heartbeatMs !== undefined && { heartbeat: durationFromMs(heartbeatMs) }),
    ...(runMs !== undefined && { run: durationFromMs(runMs) }),
    ...(totalMs !== undefined && { total: durationFromMs(totalMs) }),
  };
}

export function deadlineOptionsOf(deadlines: Deadlines): DeadlineOptions {
  return {
    startMs: deadlines.start && durationMs(deadlines.start),
    deliveryMs: deadlines.delivery && durationMs(deadlines.delivery),
    heartbeatMs: deadlines.heartbeat && durationMs(deadlines.heartbeat),
    runMs: deadlines.run && durationMs(deadlines.run),
    totalMs: deadlines.total && durationMs(deadlines.total),
  };
}
