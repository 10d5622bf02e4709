import { and, desc, eq, getTableColumns, gt, gte, inArray, lt, or, type SQL, sql } from 'drizzle-orm';
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import type { TaskState } from '../domain/task-state.ts';
import { task, taskEvent } from './schema.ts';

export type TaskRow = typeof task.$inferSelect;
export type TaskEventRow = typeof taskEvent.$inferSelect;

const { input, output, checkpoint, ...withoutPayloads } = getTableColumns(task);
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
    .where(and(inArray(task.id, [...ids]), eq(task.namespace, namespace)));
}

/** Type names to match: exact ones and prefixes; `all` matches every type. */
export interface TypeFilter {
  readonly all: boolean;
  readonly names: readonly string[];
  readonly prefixes: readonly string[];
}

export interface TaskFilter {
  readonly namespace: string;
  /** What the caller may read. */
  readonly readable: TypeFilter;
  /** What the caller asks for; empty is any. */
  readonly types: readonly string[];
  readonly states: readonly TaskState[];
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAfter: Date | undefined;
  readonly createdBefore: Date | undefined;
}

/** A page of tasks, newest first: ids are in order of time, so the primary key gives the order and the page. */
export function selectTaskPage(
  orm: PostgresJsDatabase,
  filter: TaskFilter,
  page: { readonly beforeId: string | undefined; readonly size: number },
): Promise<TaskSummary[]> {
  return orm
    .select(withoutPayloads)
    .from(task)
    .where(
      and(
        eq(task.namespace, filter.namespace),
        matchesType(filter.readable),
        filter.types.length === 0 ? undefined : inArray(task.type, [...filter.types]),
        filter.states.length === 0 ? undefined : inArray(task.state, [...filter.states]),
        Object.keys(filter.labels).length === 0
          ? undefined
          : sql`${task.labels} <> '{}'::jsonb AND ${task.labels} @> ${JSON.stringify(filter.labels)}::jsonb`,
        filter.createdAfter && gte(task.createTime, filter.createdAfter),
        filter.createdBefore && lt(task.createTime, filter.createdBefore),
        page.beforeId === undefined ? undefined : lt(task.id, page.beforeId),
      ),
    )
    .orderBy(desc(task.id))
    .limit(page.size);
}

function matchesType(filter: TypeFilter): SQL | undefined {
  if (filter.all) return undefined;
  const named = filter.names.length === 0 ? sql`false` : inArray(task.type, [...filter.names]);
  return or(named, ...filter.prefixes.map((prefix) => sql`starts_with(${task.type}, ${prefix})`));
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
    .where(inArray(task.id, [...ids]));
}
