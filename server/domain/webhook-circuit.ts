/** How a webhook fares, as far as decisions need it. */
export interface WebhookHealth {
  /** Failures since the last success. */
  readonly failures: number;
  /** How often its circuit has opened since then. */
  readonly openings: number;
  readonly isOpen: boolean;
  /** For how long it has failed. */
  readonly failingMs: number;
}

/** What a node has seen of a webhook that did not succeed meanwhile. */
export interface WebhookFailures {
  readonly count: number;
  /** Whether the one that tried an open circuit is among them. */
  readonly hasProbe: boolean;
  /** The longest wait that the endpoint has asked for; 0 is none. */
  readonly retryAfterMs: number;
}

export interface AfterFailures {
  readonly failures: number;
  readonly openings: number;
  /** How long the circuit is open from now on; null leaves it as it is. */
  readonly openMs: number | null;
  /** It has failed for so long that nobody seems to miss it. */
  readonly isHopeless: boolean;
}

/** Failures in a row that open a circuit. */
const failuresMax = 5;
const openMsFirst = 30_000;
const openMsMax = 30 * 60_000;
const failingMsMax = 3 * 24 * 3_600_000;

/** An open circuit is left to its probe: requests that were under way when it opened do not prolong it. */
export function afterFailures(health: WebhookHealth, seen: WebhookFailures): AfterFailures {
  const failures = health.failures + seen.count;
  const opens = seen.hasProbe || (!health.isOpen && failures >= failuresMax);
  if (!opens) return { failures, openings: health.openings, openMs: null, isHopeless: false };
  const backoffMs = Math.min(openMsMax, openMsFirst * 2 ** health.openings);
  return {
    failures,
    openings: health.openings + 1,
    openMs: Math.max(backoffMs, seen.retryAfterMs),
    isHopeless: health.failingMs >= failingMsMax,
  };
}
