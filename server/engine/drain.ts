import type { Database } from '../store/database.ts';
import { insertSystemEvents } from '../store/insert-system-events.ts';
import { drainLiveSession } from '../store/sessions.ts';
import type { Wake } from './wake.ts';

export interface DrainRequest {
  readonly namespace: string;
  readonly sessionId: string;
  readonly actor: string;
  readonly reason: string;
  /** How long the worker has to finish what it holds; undefined is as long as it takes. */
  readonly withinMs: number | undefined;
}

/**
 * Has a worker stop: no claim that begins after the commit gives it a lease, on any node. The node that serves it tells it at once when
 * it is this one, else with its next look at the database. Answers false when there is no such live session.
 */
export type Drain = (request: DrainRequest) => Promise<boolean>;

export function createDrain(deps: { readonly database: Database; readonly wake: Wake }): Drain {
  return async ({ sessionId, namespace, actor, reason, withinMs }) => {
    const drained = await deps.database.transaction(async (sql) => {
      const done = await drainLiveSession(sql, { id: sessionId, namespace, reason, withinMs });
      if (done === undefined) return undefined;
      const data = { reason, ...(done.deadline !== null && { deadline: done.deadline.toISOString() }) };
      await insertSystemEvents(sql, [{ kind: 'worker_session.drained', namespace, subject: sessionId, actor, data }]);
      return done;
    });
    if (drained === undefined) return false;
    deps.wake.sessionDrained.give(drained.notice);
    deps.wake.eventsWritten.give(undefined);
    return true;
  };
}
