import { limits } from '../domain/limits.ts';
import { and, count, desc, type PostgresJsDatabase, type SQL, sql } from './drizzle.ts';
import { amongFewLabelled } from './few-labelled.ts';
import { task } from './schema.ts';
import { matchesFilter, type TaskFilter } from './task-filter.ts';

/** Dead letters of one cause. */
export interface DeadLetterGroup {
  readonly type: string;
  readonly errorCode: string;
  /** Null when they failed without an error. */
  readonly errorFingerprint: string | null;
  readonly count: number;
  /** Of the newest one. */
  readonly message: string;
  readonly newestId: string;
  readonly lastFailedMs: number;
}

/**
 * Groups the newest dead letters by cause, the largest groups first. Index `task_dead_letter` gives the newest ones in
 * order, so that their number bounds the time.
 */
export async function summarizeDeadLetters(
  orm: PostgresJsDatabase,
  filter: TaskFilter,
): Promise<{ readonly groups: readonly DeadLetterGroup[]; readonly isComplete: boolean }> {
  const newest = orm
    .select({
      id: task.id,
      type: task.type,
      fingerprint: task.errorFingerprint,
      finishedTime: task.finishedTime,
      code: sql<string>`COALESCE(${task.error}->>'code', '')`.as('code'),
      message: sql<string>`COALESCE(${task.error}->>'message', '')`.as('message'),
    })
    .from(task)
    .where(and(matchesFilter({ ...filter, deadLettersOnly: true }), await amongFewLabelled(orm, filter)))
    .orderBy(desc(task.id))
    .limit(limits.deadLettersCountedMax + 1)
    .as('newest');
  const newestOf = (column: SQL.Aliased<string> | typeof newest.id) =>
    sql<string>`(array_agg(${column} ORDER BY ${newest.id} DESC))[1]`;
  const groups = await orm
    .select({
      type: newest.type,
      errorCode: newest.code,
      errorFingerprint: newest.fingerprint,
      count: count(),
      message: newestOf(newest.message),
      newestId: newestOf(newest.id),
      lastFailedMs: sql<number>`extract(epoch FROM max(${newest.finishedTime}))::float8 * 1000`,
      counted: sql<number>`(sum(count(*)) OVER ())::int`,
    })
    .from(newest)
    .groupBy(newest.type, newest.code, newest.fingerprint)
    .orderBy(desc(count()), newest.type, newest.code)
    .limit(limits.deadLetterGroupsMax);
  return { groups, isComplete: (groups[0]?.counted ?? 0) <= limits.deadLettersCountedMax };
}
