import type { Caller } from '../../auth/caller.ts';
import { taskNotFound } from '../../domain/errors.ts';
import { isFinal } from '../../domain/task-state.ts';
import type { Watch } from '../../engine/watch.ts';
import type { Database } from '../../store/database.ts';
import { selectTaskSummaries, type TaskSummary } from '../../store/select-tasks.ts';
import { onExpiry, tokenExpired } from '../token-expiry.ts';

export interface WatchOptions {
  readonly namespace: string;
  readonly ids: readonly string[];
  /** What it may read counts at the moment of each answer. */
  readonly caller: Caller;
  readonly signal: AbortSignal;
}

/**
 * Yields each task as it is and then after changes, until all have ended, the caller's token has expired, or it may not
 * read one of them any more. A reader that is slow gets the latest state of each task, not a queue of old ones.
 */
export async function* watchTasks(
  deps: { readonly database: Database; readonly watch: Watch },
  options: WatchOptions,
): AsyncGenerator<TaskSummary> {
  const { caller, namespace, signal } = options;
  const open = new Set(options.ids);
  let changed = new Set(options.ids);
  let wake = Promise.withResolvers<void>();
  let isExpired = false;
  const sequences = new Map<string, string>();
  const following = deps.watch.follow(options.ids, (id) => {
    changed.add(id);
    wake.resolve();
  });
  const onAbort = () => wake.resolve();
  signal.addEventListener('abort', onAbort);
  const stopWatchingToken = onExpiry(caller.principal, () => {
    isExpired = true;
    wake.resolve();
  });
  const stopWatchingPolicy = caller.onPolicyChange(() => {
    changed = new Set(open);
    wake.resolve();
  });

  try {
    while (open.size > 0) {
      signal.throwIfAborted();
      const ids = [...changed].filter((id) => open.has(id));
      changed = new Set();
      wake = Promise.withResolvers<void>();
      if (isExpired) throw tokenExpired();
      for (const row of await readAll(deps.database, options, ids)) {
        // It has been read before the reader took the one before.
        if (isExpired) throw tokenExpired();
        if (!caller.may('read', namespace, row.type)) throw taskNotFound(row.id);
        if (isFinal(row.state)) open.delete(row.id);
        const version = `${row.eventSequence}/${row.progressPercent}/${row.progressMessage}`;
        if (sequences.get(row.id) === version) continue;
        sequences.set(row.id, version);
        yield row;
      }
      if (open.size > 0 && changed.size === 0 && !isExpired) await wake.promise;
    }
  } finally {
    following.stop();
    stopWatchingToken();
    stopWatchingPolicy();
    signal.removeEventListener('abort', onAbort);
  }
}

/** A task that is not there, or may not be read any more, ends the watch. */
async function readAll(
  database: Database,
  { namespace, caller }: WatchOptions,
  ids: readonly string[],
): Promise<TaskSummary[]> {
  if (ids.length === 0) return [];
  const rows = await database.query((orm) => selectTaskSummaries(orm, namespace, ids));
  const seen = new Set(rows.filter((row) => caller.may('read', namespace, row.type)).map((row) => row.id));
  const missing = ids.find((id) => !seen.has(id));
  if (missing === undefined) return rows;
  throw taskNotFound(missing);
}
