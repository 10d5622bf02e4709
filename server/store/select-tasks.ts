import type { TaskState } from '../domain/task-state.ts';
import { and, eq, getTableColumns, gt, gte, type PostgresJsDatabase, sql } from './drizzle.ts';
import { taskEvent } from './event-schema.ts';
import { task } from './schema.ts';

export type TaskRow = typeof task.$inferSelect;
export type TaskEventRow = typeof taskEvent.$inferSelect;

const { input, output, checkpoint, ...others } = getTableColumns(task);
export const withoutPayloads = others;
/** A task without the columns that may be large. */
export type TaskSummary = Omit<TaskRow, 'input' | 'output' | 'checkpoint'>;

/** Reads one task with its payloads, by primary key. */
export async function selectTask(orm: PostgresJsDatabase, namespace: string, id: string): Promise<TaskRow | undefined> {
  const rows = await orm
    .select()
    .from(task)
    .where(and(eq(task.id, id), eq(task.namespace, namespace)));
  return rows[0];
}

/** Reads tasks without their payloads, by primary key. */
export function selectTaskSummaries(
  orm: PostgresJsDatabase,
  namespace: string,
  ids: readonly string[],
): Promise<TaskSummary[]> {
  return orm
    .select(withoutPayloads)
    .from(task)
    .where(and(isOneOf(ids), eq(task.namespace, namespace)));
}

/** A page of a task's history; only the partitions since its submission are read. */
export function selectTaskEvents(
  orm: PostgresJsDatabase,
  of: { readonly taskId: string; readonly since: Date; readonly afterSequence: number; readonly size: number },
): Promise<TaskEventRow[]> {
  return orm
    .select()
    .from(taskEvent)
    .where(
      and(eq(taskEvent.taskId, of.taskId), gte(taskEvent.time, of.since), gt(taskEvent.sequence, of.afterSequence)),
    )
    .orderBy(taskEvent.sequence)
    .limit(of.size);
}

/** Where tasks are: cheap enough to ask for thousands at once. By primary key. */
export function selectTaskPositions(
  orm: PostgresJsDatabase,
  ids: readonly string[],
): Promise<{ id: string; state: TaskState; eventSequence: number }[]> {
  return orm
    .select({ id: task.id, state: task.state, eventSequence: task.eventSequence })
    .from(task)
    .where(isOneOf(ids));
}

/** One parameter, however many there are: the protocol of Postgres has 65,535 of them, and a statement for each number. */
function isOneOf(ids: readonly string[]) {
  return sql`${task.id} = ANY(${sql.param([...ids])}::uuid[])`;
}
