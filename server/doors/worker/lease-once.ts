import type { SessionId } from '../../domain/ids.ts';
import type { Engine } from '../../engine/engine.ts';
import { LiveSession } from '../../engine/live-session.ts';
import type { WorkerInfo } from '../../engine/sessions.ts';
import type { LeasedTask } from '../../store/lease-tasks.ts';

/** Who does not want to wait still waits for one claim, though not behind everybody else's for ever. */
const claimMsMax = 1_000;

/**
 * Leases tasks for one call: the session stands in the dispatch like a stream's until the first batch comes or the time
 * is over. What it gets counts as accepted.
 */
export async function leaseOnce(
  { engine }: { readonly engine: Engine },
  sessionId: SessionId,
  info: WorkerInfo,
  options: { readonly waitMs: number; readonly signal: AbortSignal },
): Promise<readonly LeasedTask[]> {
  const answer = Promise.withResolvers<readonly LeasedTask[]>();
  const stop = () => answer.resolve([]);
  const session = new LiveSession({
    ...info,
    sessionId,
    outlet: { assign: answer.resolve, cancel: () => undefined, lost: stop, isCongested: () => false },
  });
  const timer = setTimeout(stop, Math.max(options.waitMs, claimMsMax));
  options.signal.addEventListener('abort', stop);
  engine.dispatch.join(session);
  if (options.waitMs <= 0) engine.dispatch.idle().then(stop);
  try {
    const tasks = await answer.promise;
    for (const { fence } of tasks) if (session.accept(fence)) engine.accepts.add(session, fence);
    return tasks;
  } finally {
    engine.dispatch.leave(session);
    clearTimeout(timer);
    options.signal.removeEventListener('abort', stop);
  }
}
