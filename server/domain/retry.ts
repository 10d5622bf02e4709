/** When and how often a failed attempt is tried again; `dstc.v1.RetryPolicy` with its defaults filled in. */
export interface RetryPolicy {
  readonly attemptsMax: number;
  readonly initialDelayMs: number;
  readonly multiplier: number;
  readonly delayMsMax: number;
  readonly nonRetryableCodes: readonly string[];
}

/**
 * The wait before the attempt after `attempt`, with full jitter, so that tasks that failed together do not come back
 * together. `random` is in [0, 1).
 */
export function retryDelayMs(policy: RetryPolicy, attempt: number, random: number): number {
  // Kept finite: no delay times no end of growth is still no delay.
  const growth = Math.min(policy.multiplier ** (attempt - 1), Number.MAX_VALUE);
  const bound = policy.initialDelayMs * growth;
  return Math.floor(random * Math.min(policy.delayMsMax, bound));
}
