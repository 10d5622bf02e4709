/** A while in which a process could not run, although it would have. */
export interface Stall {
  /** When it was over. */
  readonly atMs: number;
  /** For how long it could not run, somewhere within the last `spanMs`. */
  readonly ms: number;
  readonly spanMs: number;
}

const intervalMs = 50;
const gatherMs = 250;
const worthNotingMs = 20;

/**
 * Tells when this process was late because the machine was busy with others: what is measured then is late too. Time that
 * its thread used itself does not count, so that a coordinator which blocks itself is not excused; unless `countsOwn`, for
 * who is not put to the test. Returns what ends it.
 */
export function watchStarvation(report: (stall: Stall) => void, { countsOwn = false } = {}): () => void {
  const { now } = Date;
  let last = performance.now();
  let cpu = process.threadCpuUsage();
  let gathered = { sinceMs: last, ms: 0 };
  const timer = setInterval(() => {
    const at = performance.now();
    const used = process.threadCpuUsage(cpu);
    const usedMs = countsOwn ? 0 : (used.user + used.system) / 1_000;
    gathered.ms += Math.max(0, at - last - intervalMs - usedMs);
    last = at;
    cpu = process.threadCpuUsage();
    if (at - gathered.sinceMs < gatherMs) return;
    if (gathered.ms > worthNotingMs) report({ atMs: now(), ms: gathered.ms, spanMs: at - gathered.sinceMs });
    gathered = { sinceMs: at, ms: 0 };
  }, intervalMs).unref();
  return () => clearInterval(timer);
}
