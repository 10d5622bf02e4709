import type { Logger } from 'pino';
import { DstcError } from '../domain/errors.ts';
import { limits } from '../domain/limits.ts';
import { isFinal } from '../domain/task-state.ts';
import type { Database } from '../store/database.ts';
import { selectTaskPositions } from '../store/select-tasks.ts';
import type { Wake } from './wake.ts';

/** Tells those who wait for tasks that something may have changed. */
export interface Watch {
  /**
   * Calls back after changes of any of these tasks, and tells whether the task has ended; at most a second late when
   * another node made the change.
   */
  readonly follow: (ids: readonly string[], onChange: OnChange) => { readonly stop: () => void };
}

type OnChange = (id: string, ended: boolean) => void;

/** While anybody follows, one statement a second looks after all followed tasks; else there is none. */
export function createWatch(deps: { readonly database: Database; readonly wake: Wake; readonly log: Logger }): Watch {
  const followers = new Map<string, Set<OnChange>>();
  const seen = new Map<string, number>();
  let polling: NodeJS.Timeout | undefined;

  deps.wake.tasksChanged.listen(({ ids, ended }) => {
    if (followers.size === 0) return;
    for (const id of ids) notify(id, ended);
  });

  function notify(id: string, ended: boolean): void {
    for (const onChange of followers.get(id) ?? []) onChange(id, ended);
  }

  async function poll(): Promise<void> {
    deps.wake.tasksFollowed.give(undefined);
    try {
      const positions = await deps.database.query((orm) => selectTaskPositions(orm, [...followers.keys()]));
      for (const { id, state, eventSequence } of positions) {
        const changed = seen.get(id) !== eventSequence;
        if (followers.has(id)) seen.set(id, eventSequence);
        if (changed) notify(id, isFinal(state));
      }
    } catch (error) {
      const isAway = error instanceof DstcError;
      deps.log[isAway ? 'warn' : 'error']({ err: error }, 'followed tasks could not be looked at');
    } finally {
      polling = undefined;
      schedule();
    }
  }

  function schedule(): void {
    if (polling !== undefined || followers.size === 0) return;
    polling = setTimeout(() => void poll(), limits.pollIntervalMs);
    polling.unref();
  }

  return {
    follow(ids, onChange) {
      if (followers.size === 0) deps.wake.tasksFollowed.give(undefined);
      for (const id of ids) followers.set(id, (followers.get(id) ?? new Set()).add(onChange));
      schedule();
      return {
        stop() {
          for (const id of ids) {
            const group = followers.get(id);
            group?.delete(onChange);
            if (group?.size !== 0) continue;
            followers.delete(id);
            seen.delete(id);
          }
        },
      };
    },
  };
}
