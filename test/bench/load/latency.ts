import type { LoadResult } from './messages.ts';

/** From one task to the next: idle between them, and in step with no timer of the system under test. */
const pauseMs = { min: 20, max: 70 };

/** Submits one task after the other, and measures from the call to the start of its handler. Both are in this process. */
export interface Latency {
  readonly handlerStarted: (number: number) => void;
  readonly run: (seconds: number, submit: (number: number) => Promise<unknown>) => Promise<Omit<LoadResult, 'kind'>>;
}

export function measureLatency(): Latency {
  const started = new Map<number, (ms: number) => void>();
  return {
    handlerStarted: (number) => started.get(number)?.(performance.now()),
    async run(seconds, submit) {
      const latenciesMs: number[] = [];
      const endMs = performance.now() + seconds * 1_000;
      for (let number = 0; performance.now() < endMs; number += 1) {
        const { promise, resolve } = Promise.withResolvers<number>();
        started.set(number, resolve);
        const submitMs = performance.now();
        const [startMs] = await Promise.all([promise, submit(number)]);
        started.delete(number);
        latenciesMs.push(startMs - submitMs);
        await pause(pauseMs.min + Math.random() * (pauseMs.max - pauseMs.min));
      }
      return { count: latenciesMs.length, seconds, latenciesMs };
    },
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
