import { onMessage, tell } from './parent.ts';

const reportEveryMs = 20;

/** Counts what a worker has handled, tells the benchmark, and knows when it was all. */
export interface Handling {
  readonly handled: () => void;
  /** Resolves with the number of tasks that were to be handled, once they have been. */
  readonly all: Promise<number>;
}

export function countHandled(): Handling {
  const all = Promise.withResolvers<number>();
  let count = 0;
  let told = 0;
  let wanted = Number.POSITIVE_INFINITY;
  const check = () => {
    if (count >= wanted) all.resolve(wanted);
  };
  const timer = setInterval(() => {
    if (count > told) tell({ kind: 'handled', count });
    told = count;
  }, reportEveryMs);
  void all.promise.then(() => clearInterval(timer));
  onMessage((message) => {
    if (message.kind !== 'finish') return;
    wanted = message.count;
    check();
  });
  return {
    handled() {
      count += 1;
      check();
    },
    all: all.promise,
  };
}
