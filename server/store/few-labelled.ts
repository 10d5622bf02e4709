import { limits } from '../domain/limits.ts';
import { count, type PostgresJsDatabase, type SQL, sql } from './drizzle.ts';
import { task } from './schema.ts';
import { matchesIndexedLabels, type TaskFilter } from './task-filter.ts';

/**
 * Names the tasks that have the labels of a filter, by index `task_labels`, when they are few; undefined when they are
 * many, or when no label is asked for.
 *
 * A page is in order of ids. Left to itself, Postgres would follow the primary key to fill it as soon as it thinks labels
 * common, and read the whole table when they are those of one batch of last month. Many labelled tasks are found that
 * way soon, and sorting them all for each page would take longer.
 */
export async function amongFewLabelled(orm: PostgresJsDatabase, filter: TaskFilter): Promise<SQL | undefined> {
  const labelled = matchesIndexedLabels(filter);
  if (labelled === undefined) return undefined;
  const some = orm
    .select({ one: sql`1`.as('one') })
    .from(task)
    .where(labelled)
    .limit(limits.fewLabelledMax + 1);
  const [found] = await orm.select({ tasks: count() }).from(some.as('some'));
  if (found === undefined || found.tasks > limits.fewLabelledMax) return undefined;
  return sql`${task.id} = ANY(ARRAY(${orm.select({ id: task.id }).from(task).where(labelled)}))`;
}
