import { deadlineTimer } from './deadline-timer.ts';

/** How long handlers may go on once the worker stops. */
export interface Grace {
  /** Aborted when the grace is over. */
  readonly over: AbortSignal;
  /** What this process allows: it may become shorter, never longer. */
  limit(ms: number): void;
  /** What an operator allows who drains the worker; the last word counts. */
  allow(ms: number): void;
}

export function createGrace(): Grace {
  const controller = new AbortController();
  let ownEndMs = Number.POSITIVE_INFINITY;
  let allowedEndMs = Number.POSITIVE_INFINITY;
  const endMs = (): number => Math.min(ownEndMs, allowedEndMs);
  const timer = deadlineTimer((nowMs) => {
    if (nowMs < endMs()) return endMs();
    controller.abort();
    return Number.POSITIVE_INFINITY;
  });
  return {
    over: controller.signal,
    limit(ms) {
      ownEndMs = Math.min(ownEndMs, performance.now() + ms);
      timer.arm(endMs());
    },
    allow(ms) {
      allowedEndMs = performance.now() + ms;
      timer.arm(endMs());
    },
  };
}
