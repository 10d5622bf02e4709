/** How a program ended. */
export type ProgramEnd =
  | { readonly kind: 'exited'; readonly status: number }
  | { readonly kind: 'killed'; readonly signal: string }
  | { readonly kind: 'timed-out'; readonly afterMs: number };

/** What its end means for the attempt. */
export type Verdict =
  | { readonly kind: 'success' }
  | { readonly kind: 'transient' | 'permanent'; readonly code: string; readonly message: string };

/** EX_TEMPFAIL of sysexits.h: what mail systems have long taken as "try again later". */
export const transientStatusesDefault = '75';

/**
 * Maps the end of a program to success or failure: status 0 is success; the given statuses, a timeout, and death by a signal
 * are transient, because the same input may do better next time; every other status is permanent.
 */
export function verdictOf(end: ProgramEnd, transientStatuses: ReadonlySet<number>): Verdict {
  switch (end.kind) {
    case 'timed-out':
      return { kind: 'transient', code: 'TIMED_OUT', message: `stopped after ${end.afterMs / 1_000} s` };
    case 'killed':
      return { kind: 'transient', code: end.signal, message: `killed by ${end.signal}` };
    case 'exited': {
      if (end.status === 0) return { kind: 'success' };
      const kind = transientStatuses.has(end.status) ? 'transient' : 'permanent';
      return { kind, code: `EXIT_${end.status}`, message: `exit status ${end.status}` };
    }
  }
}

/** Reads `75` or `1,64-70,75`. Throws a sentence for people otherwise. */
export function parseStatuses(written: string): ReadonlySet<number> {
  const statuses = new Set<number>();
  for (const part of written.split(',')) {
    const match = /^\s*(\d{1,3})(?:\s*-\s*(\d{1,3}))?\s*$/.exec(part);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? first);
    // 0 is success, and no system reports more than 255.
    if (match === null || first < 1 || last > 255 || last < first) {
      throw new Error(`"${written}" is no list of exit statuses: write numbers from 1 to 255, such as 75 or 1,64-70`);
    }
    for (let status = first; status <= last; status++) statuses.add(status);
  }
  return statuses;
}
