import { parseDurationMs } from './duration.ts';

/** Reads an instant: `2030-01-31T12:00:00Z`, `2030-01-31`, or how long ago it was, such as `2h`. */
export function parseTime(written: string, now: Date = new Date()): Date {
  if (/^\d{4}-\d{2}-\d{2}/.test(written)) {
    const time = new Date(written);
    if (!Number.isNaN(time.getTime()) && isDay(written.slice(0, 10))) return time;
  } else if (/^[\d.]+[a-z]/.test(written)) {
    return new Date(now.getTime() - parseDurationMs(written));
  }
  throw new Error(`"${written}" is no time: write 2030-01-31T12:00:00Z, or how long ago, such as 2h`);
}

/** JavaScript takes 30 February for 2 March. */
function isDay(date: string): boolean {
  const day = new Date(`${date}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(date);
}
