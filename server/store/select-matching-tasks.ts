import { and, asc, gt, lte, type SQL } from 'drizzle-orm';
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import { amongFewLabelled } from './few-labelled.ts';
import { task } from './schema.ts';
import { inIdRange, matchesFilter, type TaskFilter } from './task-filter.ts';

/** A task as it was when it was found; its event sequence grows with every change. */
export interface MatchingTask {
  readonly id: string;
  readonly eventSequence: number;
}

/** Some of the tasks that match, and after which id to look for more; undefined when there is nothing more. */
export interface MatchingTasks {
  readonly tasks: readonly MatchingTask[];
  readonly afterId: string | undefined;
}

/** Ids of the primary key that one statement looks at where no index finds what matches. */
const windowIdsMax = 20_000;

/**
 * Finds tasks that match, oldest first: a bounded number in a bounded time, so that there may be more when none is found.
 * Dead letters come from index `task_dead_letter` and a few labelled tasks from `task_labels`, whose number bounds the
 * time; all others are looked for along the primary key, a window at a time.
 */
export async function selectMatchingTasks(
  orm: PostgresJsDatabase,
  filter: TaskFilter,
  page: { readonly afterId: string; readonly tasksMax: number },
): Promise<MatchingTasks> {
  const few = await amongFewLabelled(orm, filter);
  const isServed = few !== undefined || filter.deadLettersOnly;
  const windowEnd = isServed ? undefined : await selectWindowEnd(orm, filter, page.afterId);
  const inWindow: SQL | undefined = windowEnd === undefined ? undefined : lte(task.id, windowEnd);
  const tasks = await orm
    .select({ id: task.id, eventSequence: task.eventSequence })
    .from(task)
    .where(and(matchesFilter(filter), few, gt(task.id, page.afterId), inWindow))
    .orderBy(asc(task.id))
    .limit(page.tasksMax);
  return { tasks, afterId: tasks.length < page.tasksMax ? windowEnd : tasks.at(-1)?.id };
}

/** The last id of a window; undefined when what is left is no longer than one. By the primary key alone. */
async function selectWindowEnd(
  orm: PostgresJsDatabase,
  filter: TaskFilter,
  afterId: string,
): Promise<string | undefined> {
  const rows = await orm
    .select({ id: task.id })
    .from(task)
    .where(and(gt(task.id, afterId), inIdRange(filter)))
    .orderBy(asc(task.id))
    .offset(windowIdsMax)
    .limit(1);
  return rows[0]?.id;
}
