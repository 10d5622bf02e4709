export interface BackoffOptions {
  /** Failures so far, from 0. */
  readonly failures: number;
  readonly baseMs: number;
  readonly capMs: number;
}

/** A wait drawn evenly from zero to a bound that doubles with each failure, so that many callers do not return as one. */
export function fullJitterMs({ failures, baseMs, capMs }: BackoffOptions, random: () => number = Math.random): number {
  return random() * Math.min(capMs, baseMs * 2 ** Math.min(failures, 30));
}
