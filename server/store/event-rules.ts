import { and, asc, count, eq, gt, inArray, or, type PostgresJsDatabase, sql } from './drizzle.ts';
import { eventRule } from './event-rule-table.ts';
import type { TypeFilter } from './task-filter.ts';

export type EventRuleRow = typeof eventRule.$inferSelect;
export type NewEventRule = Omit<EventRuleRow, 'createTime' | 'updateTime'>;
type RuleName = Pick<EventRuleRow, 'namespace' | 'name'>;

/** Makes a rule, unless there is one of its name; undefined means that there is. By primary key, as all that follows. */
export async function insertNewEventRule(
  orm: PostgresJsDatabase,
  value: NewEventRule,
): Promise<EventRuleRow | undefined> {
  const rows = await orm.insert(eventRule).values(value).onConflictDoNothing().returning();
  return rows[0];
}

/** Replaces a rule while its etag is this one; undefined means that it is not. */
export async function updateCurrentEventRule(
  orm: PostgresJsDatabase,
  value: NewEventRule,
  currentEtag: string,
): Promise<EventRuleRow | undefined> {
  const { namespace, name, ...changes } = value;
  const rows = await orm
    .update(eventRule)
    .set({ ...changes, updateTime: sql`now()` })
    .where(and(isRule({ namespace, name }), eq(eventRule.etag, currentEtag)))
    .returning();
  return rows[0];
}

/** Deletes a rule while its etag is this one. */
export async function deleteCurrentEventRule(
  orm: PostgresJsDatabase,
  which: RuleName,
  currentEtag: string,
): Promise<boolean> {
  const rows = await orm
    .delete(eventRule)
    .where(and(isRule(which), eq(eventRule.etag, currentEtag)))
    .returning({ name: eventRule.name });
  return rows.length > 0;
}

export async function selectEventRule(orm: PostgresJsDatabase, which: RuleName): Promise<EventRuleRow | undefined> {
  const rows = await orm.select().from(eventRule).where(isRule(which));
  return rows[0];
}

export async function countEventRules(orm: PostgresJsDatabase, namespace: string): Promise<number> {
  const rows = await orm.select({ rules: count() }).from(eventRule).where(eq(eventRule.namespace, namespace));
  return rows[0]?.rules ?? 0;
}

/** Which versions of its rules a namespace has, by name. */
export function selectEventRuleVersions(
  orm: PostgresJsDatabase,
  namespace: string,
): Promise<Pick<EventRuleRow, 'name' | 'etag'>[]> {
  return orm
    .select({ name: eventRule.name, etag: eventRule.etag })
    .from(eventRule)
    .where(eq(eventRule.namespace, namespace))
    .orderBy(asc(eventRule.name));
}

export function selectEventRules(
  orm: PostgresJsDatabase,
  namespace: string,
  names: readonly string[],
): Promise<EventRuleRow[]> {
  return orm
    .select()
    .from(eventRule)
    .where(and(eq(eventRule.namespace, namespace), inArray(eventRule.name, [...names])));
}

/** A page of the rules whose task types match, by name. */
export function selectEventRulePage(
  orm: PostgresJsDatabase,
  filter: { readonly namespace: string; readonly readable: TypeFilter },
  page: { readonly afterName: string | undefined; readonly size: number },
): Promise<EventRuleRow[]> {
  const { readable } = filter;
  return orm
    .select()
    .from(eventRule)
    .where(
      and(
        eq(eventRule.namespace, filter.namespace),
        readable.all
          ? undefined
          : or(
              sql`${eventRule.taskType} = ANY(${sql.param([...readable.names])}::text[])`,
              ...readable.prefixes.map((prefix) => sql`starts_with(${eventRule.taskType}, ${prefix})`),
            ),
        page.afterName === undefined ? undefined : gt(eventRule.name, page.afterName),
      ),
    )
    .orderBy(asc(eventRule.name))
    .limit(page.size);
}

function isRule({ namespace, name }: RuleName) {
  return and(eq(eventRule.namespace, namespace), eq(eventRule.name, name));
}
