import type { ServiceImpl } from '@connectrpc/connect';
import type { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { limits } from '../../domain/limits.ts';
import type { Database } from '../../store/database.ts';
import { type Found, searchTasks } from '../../store/search-tasks.ts';
import type { TaskSummary } from '../../store/select-tasks.ts';
import { summarizeDeadLetters } from '../../store/summarize-dead-letters.ts';
import type { TaskFilter } from '../../store/task-filter.ts';
import { callerOf } from '../context.ts';
import { toDeadLetterGroup } from '../convert/dead-letter-group.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { pageSizeOf, positionOf, positions, toPageToken } from '../convert/page-token.ts';
import { toTask } from '../convert/task.ts';
import { requestedTasksOf } from '../convert/task-filter.ts';
import { typeFilterOf } from '../convert/type-filter.ts';

/** The RPCs that look for tasks by a filter. */
export function listTasks(deps: {
  readonly database: Database;
}): Pick<ServiceImpl<typeof TaskService>, 'listTasks' | 'summarizeDeadLetters'> {
  return {
    async listTasks(request, context) {
      const requested = requestedTasksOf(namespaceOf(request), request.filter);
      const list = ['tasks', requested];
      const beforeId = positionOf(list, request.pageToken, positions.id);
      const permitted = typeFilterOf(callerOf(context).typePatterns('read', requested.namespace));
      const filter = { ...requested, permitted };
      const { tasks, next } = await findPage(deps.database, filter, beforeId, pageSizeOf(request.pageSize));
      return { tasks: tasks.map(toTask), nextPageToken: next === undefined ? '' : toPageToken(list, next) };
    },

    async summarizeDeadLetters(request, context) {
      const requested = requestedTasksOf(namespaceOf(request), request.filter);
      const permitted = typeFilterOf(callerOf(context).typePatterns('read', requested.namespace));
      const { groups, isComplete } = await deps.database.query((orm) =>
        summarizeDeadLetters(orm, { ...requested, permitted }),
      );
      return { groups: groups.map(toDeadLetterGroup), complete: isComplete };
    },
  };
}

/** A page, newest first; a short one when much was looked at for it, and there may be more. */
async function findPage(
  database: Database,
  filter: TaskFilter,
  beforeId: string | undefined,
  size: number,
): Promise<Found> {
  const tasks: TaskSummary[] = [];
  let next = beforeId;
  let looks = 0;
  do {
    const after = next;
    // One more than the page tells whether another one follows.
    const wanted = size + 1 - tasks.length;
    const found = await database.query((orm) => searchTasks(orm, filter, { order: 'newest first', after }, wanted));
    tasks.push(...found.tasks);
    next = found.next;
    looks += 1;
  } while (next !== undefined && tasks.length <= size && looks < limits.listLooksMax);
  return tasks.length <= size ? { tasks, next } : { tasks: tasks.slice(0, size), next: tasks[size - 1]?.id };
}
