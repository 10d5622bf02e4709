import type { SessionId } from '../../domain/ids.ts';
import type { Engine } from '../../engine/engine.ts';
import { LiveSession } from '../../engine/live-session.ts';
import type { WorkerInfo } from '../../engine/sessions.ts';
import type { LeasedTask } from '../../store/lease-tasks.ts';
import type { DrainNotice } from '../../store/sessions.ts';

/** Who does not want to wait still waits for one claim, though not behind everybody else's for ever. */
const claimMsMax = 1_000;

/** What a call got; `drain` when an operator has said that the worker is to stop. */
interface LeasedOnce {
  readonly tasks: readonly LeasedTask[];
  readonly drain: DrainNotice | undefined;
}

/**
 * Leases tasks for one call: the session stands in the dispatch like a stream's until the first batch comes, the time is
 * over, or an operator drains the worker. What it gets counts as accepted.
 */
export async function leaseOnce(
  { engine }: { readonly engine: Pick<Engine, 'dispatch' | 'accepts'> },
  sessionId: SessionId,
  info: WorkerInfo,
  options: { readonly waitMs: number; readonly signal: AbortSignal },
): Promise<LeasedOnce> {
  const answer = Promise.withResolvers<LeasedOnce>();
  const stop = () => answer.resolve({ tasks: [], drain: undefined });
  const session = new LiveSession({
    ...info,
    sessionId,
    outlet: {
      assign: (tasks) => answer.resolve({ tasks, drain: undefined }),
      cancel: () => undefined,
      stop: (drain) => answer.resolve({ tasks: [], drain }),
      lost: stop,
      isCongested: () => false,
    },
  });
  const timer = setTimeout(stop, Math.max(options.waitMs, claimMsMax));
  options.signal.addEventListener('abort', stop);
  if (options.signal.aborted) stop();
  engine.dispatch.join(session);
  if (options.waitMs <= 0) engine.dispatch.idle().then(stop);
  try {
    const leased = await answer.promise;
    for (const { fence } of leased.tasks) if (session.accept(fence)) engine.accepts.add(session, fence);
    return leased;
  } finally {
    engine.dispatch.leave(session);
    clearTimeout(timer);
    options.signal.removeEventListener('abort', stop);
  }
}
