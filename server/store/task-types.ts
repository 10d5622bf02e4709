import type { Sql } from './database.ts';
import { and, asc, eq, gt, isNull, or, type PostgresJsDatabase, sql } from './drizzle.ts';
import { taskType } from './schema.ts';
import type { TypeFilter } from './task-filter.ts';

export type TaskTypeRow = typeof taskType.$inferSelect;
export type NewTaskType = Omit<TaskTypeRow, 'createTime' | 'updateTime' | 'deleteTime'>;

export type TaskTypeName = Pick<TaskTypeRow, 'namespace' | 'name'>;

/**
 * Creates or replaces a task type; with an etag, only while it is the current one. Undefined means that it was not.
 */
export async function upsertTaskType(
  orm: PostgresJsDatabase,
  value: NewTaskType,
  expectedEtag: string | undefined,
): Promise<TaskTypeRow | undefined> {
  const { namespace, name, ...changes } = value;
  if (expectedEtag !== undefined) {
    const updated = await orm
      .update(taskType)
      .set({ ...changes, updateTime: sql`now()` })
      .where(
        and(
          eq(taskType.namespace, namespace),
          eq(taskType.name, name),
          eq(taskType.etag, expectedEtag),
          isNull(taskType.deleteTime),
        ),
      )
      .returning();
    return updated[0];
  }
  const rows = await orm
    .insert(taskType)
    .values(value)
    .onConflictDoUpdate({
      target: [taskType.namespace, taskType.name],
      set: {
        ...changes,
        updateTime: sql`now()`,
        // One that was deleted begins anew.
        createTime: sql`CASE WHEN ${taskType.deleteTime} IS NULL THEN ${taskType.createTime} ELSE now() END`,
        deleteTime: null,
      },
    })
    .returning();
  return rows[0];
}

/** Locks the row of a type, if there is one, as everything that changes it does; by primary key. */
export async function lockTaskType(statement: Sql, { namespace, name }: TaskTypeName): Promise<void> {
  await statement`SELECT FROM task_type WHERE namespace = ${namespace} AND name = ${name} FOR NO KEY UPDATE`;
}

/** Also one that was deleted, as long as it has tasks. */
export async function selectTaskType(
  orm: PostgresJsDatabase,
  namespace: string,
  name: string,
): Promise<TaskTypeRow | undefined> {
  const rows = await orm
    .select()
    .from(taskType)
    .where(and(eq(taskType.namespace, namespace), eq(taskType.name, name)));
  return rows[0];
}

/** A page of the task types that match, by name. */
export function selectTaskTypePage(
  orm: PostgresJsDatabase,
  filter: { readonly namespace: string; readonly readable: TypeFilter },
  page: { readonly afterName: string | undefined; readonly size: number },
): Promise<TaskTypeRow[]> {
  const { readable } = filter;
  return orm
    .select()
    .from(taskType)
    .where(
      and(
        eq(taskType.namespace, filter.namespace),
        isNull(taskType.deleteTime),
        readable.all
          ? undefined
          : or(
              sql`${taskType.name} = ANY(${sql.param([...readable.names])}::text[])`,
              ...readable.prefixes.map((prefix) => sql`starts_with(${taskType.name}, ${prefix})`),
            ),
        page.afterName === undefined ? undefined : gt(taskType.name, page.afterName),
      ),
    )
    .orderBy(asc(taskType.name))
    .limit(page.size);
}
