import type { Logger } from 'pino';
import { DstcError } from '../domain/errors.ts';
import type { HeldLease, Reporting } from './live-session.ts';
import type { Reports } from './report.ts';
import type { Tally } from './tally.ts';

/** How histories name it. */
const actor = 'system:dispatch';

/** Leases that are to go back to the queue without costing an attempt. */
export interface TakeBacks {
  readonly add: (from: Omit<Reporting, 'actor'>, lease: Pick<HeldLease, 'fence' | 'accepted'>, reason?: string) => void;
  /** Tries again what failed because Postgres was away. */
  readonly tryAgain: () => void;
}

export function createTakeBacks(deps: {
  readonly reports: Reports;
  readonly tally: Tally;
  readonly log: Logger;
}): TakeBacks {
  // Nobody else knows of them: their session may live for ever, so that they must not be forgotten.
  let failed: (() => void)[] = [];

  function add(
    from: Omit<Reporting, 'actor'>,
    lease: Pick<HeldLease, 'fence' | 'accepted'>,
    reason = 'the assignment did not arrive',
  ): void {
    const { sessionId, namespace, may } = from;
    const command = lease.accepted ? 'release' : 'undeliver';
    deps.reports
      .end({ sessionId, namespace, may, actor }, { fence: lease.fence, command, reason, byWorker: false })
      .then(({ outcome }) => {
        if (command === 'undeliver' && outcome === 'recorded') deps.tally.add('assignmentsTakenBack');
      })
      .catch((error) => {
        deps.log.warn({ err: error, task: lease.fence.taskId }, 'a lease was not taken back');
        if (error instanceof DstcError) failed.push(() => add(from, lease, reason));
      });
  }

  return {
    add,
    tryAgain() {
      const again = failed;
      failed = [];
      for (const takeBack of again) takeBack();
    },
  };
}
