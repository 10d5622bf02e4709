/** One timer for any number of deadlines on the monotonic clock. */
export interface DeadlineTimer {
  /** Something is due at this time. */
  arm(deadlineMs: number): void;
  stop(): void;
}

/** The longest that Node's timers can wait. */
const timeoutMsMax = 2 ** 31 - 1;

/** `sweep` handles what is due and answers when the next thing is, or Infinity. */
export function deadlineTimer(sweep: (nowMs: number) => number): DeadlineTimer {
  let armedForMs = Number.POSITIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;

  function arm(deadlineMs: number): void {
    if (deadlineMs >= armedForMs) return;
    clearTimeout(timer);
    armedForMs = deadlineMs;
    timer = setTimeout(fire, Math.min(timeoutMsMax, Math.max(0, Math.ceil(deadlineMs - performance.now()))));
    timer.unref();
  }

  function fire(): void {
    armedForMs = Number.POSITIVE_INFINITY;
    arm(sweep(performance.now()));
  }

  return {
    arm,
    stop() {
      clearTimeout(timer);
      armedForMs = Number.POSITIVE_INFINITY;
    },
  };
}
