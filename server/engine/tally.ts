/** What this node counts for its metrics since it began. */
export type Tallied =
  /** Assignments that no worker accepted, given back without costing an attempt. */
  | 'assignmentsTakenBack'
  /** Leases of workers that gave no sign of life any more. */
  | 'leasesLost'
  /** Reports on leases that were not held any more. */
  | 'reportsStale'
  | 'deadlinesPassed.start'
  | 'deadlinesPassed.heartbeat'
  | 'deadlinesPassed.run'
  | 'deadlinesPassed.total'
  | 'deadlinesPassed.cancel';

export interface Tally {
  readonly add: (what: Tallied, count?: number) => void;
  readonly of: (what: Tallied) => number;
}

export function createTally(): Tally {
  const counts = new Map<Tallied, number>();
  const of = (what: Tallied): number => counts.get(what) ?? 0;
  return { of, add: (what, count = 1) => counts.set(what, of(what) + count) };
}
