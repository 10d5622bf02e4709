import { taskNotFound } from '../../domain/errors.ts';
import { isFinal } from '../../domain/task-state.ts';
import type { Watch } from '../../engine/watch.ts';
import type { Database } from '../../store/database.ts';
import { selectTaskSummaries, type TaskSummary } from '../../store/select-tasks.ts';

export interface WatchOptions {
  readonly namespace: string;
  readonly ids: readonly string[];
  /** By the policy of the moment of each question. */
  readonly mayRead: (type: string) => boolean;
  readonly signal: AbortSignal;
}

/**
 * Yields each task as it is and then after changes, until all have ended. A reader that is slow gets the latest state
 * of each task, not a queue of old ones.
 */
export async function* watchTasks(
  deps: { readonly database: Database; readonly watch: Watch },
  options: WatchOptions,
): AsyncGenerator<TaskSummary> {
  const open = new Set(options.ids);
  let changed = new Set(options.ids);
  let wake = Promise.withResolvers<void>();
  const sequences = new Map<string, string>();
  const following = deps.watch.follow(options.ids, (id) => {
    changed.add(id);
    wake.resolve();
  });
  const onAbort = () => wake.resolve();
  options.signal.addEventListener('abort', onAbort);

  try {
    while (open.size > 0) {
      options.signal.throwIfAborted();
      const ids = [...changed].filter((id) => open.has(id));
      changed = new Set();
      wake = Promise.withResolvers<void>();
      for (const row of await readAll(deps.database, options, ids)) {
        if (isFinal(row.state)) open.delete(row.id);
        const version = `${row.eventSequence}/${row.progressPercent}/${row.progressMessage}`;
        if (sequences.get(row.id) === version) continue;
        sequences.set(row.id, version);
        yield row;
      }
      if (open.size > 0 && changed.size === 0) await wake.promise;
    }
  } finally {
    following.stop();
    options.signal.removeEventListener('abort', onAbort);
  }
}

/** A task that is not there, or may not be read any more, ends the watch. */
async function readAll(database: Database, options: WatchOptions, ids: readonly string[]): Promise<TaskSummary[]> {
  if (ids.length === 0) return [];
  const rows = await database.query((orm) => selectTaskSummaries(orm, options.namespace, ids));
  const seen = new Set(rows.filter((row) => options.mayRead(row.type)).map((row) => row.id));
  const missing = ids.find((id) => !seen.has(id));
  if (missing === undefined) return rows;
  throw taskNotFound(missing);
}
