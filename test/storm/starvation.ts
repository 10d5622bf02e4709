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
 * it used itself does not count, so that a coordinator which blocks itself is not excused.
 */
export function watchStarvation(report: (stall: Stall) => void): void {
  const { now } = Date;
  let last = performance.now();
  let cpu = process.cpuUsage();
  let gathered = { sinceMs: last, ms: 0 };
  setInterval(() => {
    const at = performance.now();
    const used = process.cpuUsage(cpu);
    gathered.ms += Math.max(0, at - last - intervalMs - (used.user + used.system) / 1_000);
    last = at;
    cpu = process.cpuUsage();
    if (at - gathered.sinceMs < gatherMs) return;
    if (gathered.ms > worthNotingMs) report({ atMs: now(), ms: gathered.ms, spanMs: at - gathered.sinceMs });
    gathered = { sinceMs: at, ms: 0 };
  }, intervalMs).unref();
}
