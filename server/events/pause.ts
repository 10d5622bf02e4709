/** A wait that somebody else can end. */
export interface Pause {
  /** Resolves after this time, or as soon as it is ended; at once when that happened since the last one. */
  readonly forMs: (ms: number) => Promise<void>;
  readonly end: () => void;
}

export function createPause(): Pause {
  let isEnded = false;
  let resume: (() => void) | undefined;

  return {
    forMs(ms) {
      if (isEnded) {
        isEnded = false;
        return Promise.resolve();
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = Number.isFinite(ms) ? setTimeout(() => finish(), ms) : undefined;
      const finish = () => {
        clearTimeout(timer);
        resume = undefined;
        resolve();
      };
      resume = finish;
      return promise;
    },
    end() {
      if (resume === undefined) isEnded = true;
      else resume();
    },
  };
}
