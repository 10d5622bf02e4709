import { and, asc, desc, gt, gte, lt, lte, type PostgresJsDatabase } from './drizzle.ts';
import { amongFewLabelled } from './few-labelled.ts';
import { task } from './schema.ts';
import { type TaskSummary, withoutPayloads } from './select-tasks.ts';
import { inIdRange, matchesFilter, type TaskFilter } from './task-filter.ts';

/** From which id on, in the order of ids, which is that of submission; undefined is the beginning. */
export interface Place {
  readonly order: 'oldest first' | 'newest first';
  readonly after: string | undefined;
}

/** Some of the tasks that match, and after which id to look for more; undefined when there is nothing more. */
export interface Found {
  readonly tasks: readonly TaskSummary[];
  readonly next: string | undefined;
}

/** Ids of the primary key that one statement looks at where no index finds what matches. */
const windowIdsMax = 20_000;

/**
 * Finds tasks that match: a bounded number in a bounded time, so that there may be more when none is found. Dead letters
 * come from index `task_dead_letter` and a few labelled tasks from `task_labels`, whose number bounds the time; all others
 * are looked for along the primary key, a window at a time.
 */
export async function searchTasks(
  orm: PostgresJsDatabase,
  filter: TaskFilter,
  place: Place,
  tasksMax: number,
): Promise<Found> {
  const few = await amongFewLabelled(orm, filter);
  const isServed = few !== undefined || filter.deadLettersOnly;
  const windowEnd = isServed ? undefined : await selectWindowEnd(orm, filter, place);
  const tasks = await orm
    .select(withoutPayloads)
    .from(task)
    .where(and(matchesFilter(filter), few, comesAfter(place), comesUntil(place, windowEnd)))
    .orderBy(inOrder(place))
    .limit(tasksMax);
  return { tasks, next: tasks.length < tasksMax ? windowEnd : tasks.at(-1)?.id };
}

/** The last id of the window at a place; undefined when what is left is no longer than one. By the primary key alone. */
async function selectWindowEnd(orm: PostgresJsDatabase, filter: TaskFilter, place: Place): Promise<string | undefined> {
  const rows = await orm
    .select({ id: task.id })
    .from(task)
    .where(and(comesAfter(place), inIdRange(filter)))
    .orderBy(inOrder(place))
    .offset(windowIdsMax)
    .limit(1);
  return rows[0]?.id;
}

function comesAfter({ order, after }: Place) {
  return after === undefined ? undefined : (order === 'oldest first' ? gt : lt)(task.id, after);
}

function comesUntil({ order }: Place, end: string | undefined) {
  return end === undefined ? undefined : (order === 'oldest first' ? lte : gte)(task.id, end);
}

function inOrder({ order }: Place) {
  return (order === 'oldest first' ? asc : desc)(task.id);
}
