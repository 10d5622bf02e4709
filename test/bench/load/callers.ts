import type { LoadResult } from './messages.ts';

const callersInFlight = 64;
const warmUpMs = 1_000;

/** Calls with 64 callers, each one again as soon as it is answered; what ends within the time after a warm-up is timed. */
export async function runCallers(seconds: number, call: () => Promise<unknown>): Promise<Omit<LoadResult, 'kind'>> {
  const beginMs = performance.now() + warmUpMs;
  const endMs = beginMs + seconds * 1_000;
  const latenciesMs: number[] = [];
  let count = 0;

  async function caller(): Promise<void> {
    for (;;) {
      const startMs = performance.now();
      if (startMs >= endMs) return;
      await call();
      count += 1;
      const nowMs = performance.now();
      if (nowMs >= beginMs && nowMs < endMs) latenciesMs.push(nowMs - startMs);
    }
  }

  await Promise.all(Array.from({ length: callersInFlight }, caller));
  return { count, seconds, latenciesMs };
}
