import type { Jobs } from './jobs.ts';
import type { Session } from './session.ts';

/** What is left of an operator's time for handlers, so that the rest of the way fits into it. */
export function handlerGraceMs(withinMs: number): number {
  return Math.max(0, withinMs - 2 * abortMsMax);
}

/** For handlers that were told to stop, to come to their end. */
const abortMsMax = 1_000;
/** For the coordinator to settle the last reports, over a reconnect if need be. */
const settleMsMax = 5_000;

/**
 * Takes nothing more, lets handlers finish within the grace, tells the rest to stop and gives their tasks back, waits
 * until the coordinator has everything, and closes.
 */
export async function shutDown(session: Session, jobs: Jobs, graceOver: AbortSignal): Promise<void> {
  jobs.drain('the worker stops');
  const idle = (): boolean => jobs.running === 0;
  if (!(await jobs.until(idle, graceOver))) {
    jobs.interruptRunning('the worker stops');
    if (!(await jobs.until(idle, AbortSignal.timeout(abortMsMax))))
      jobs.releaseRunning('the worker stopped before its handler ended');
  }
  await jobs.until(() => jobs.held === 0, AbortSignal.timeout(settleMsMax));
  await session.close();
  jobs.loseAll('the worker has stopped');
  jobs.stop();
}
