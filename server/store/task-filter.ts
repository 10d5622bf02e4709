import type { TaskState } from '../domain/task-state.ts';
import { and, eq, gte, inArray, isNotNull, isNull, lt, or, type SQL, sql } from './drizzle.ts';
import { task } from './schema.ts';

/** Type names to match: exact ones and prefixes; `all` matches every type. */
export interface TypeFilter {
  readonly all: boolean;
  readonly names: readonly string[];
  readonly prefixes: readonly string[];
}

/** A condition on one label. */
export interface LabelCondition {
  readonly key: string;
  readonly operator: 'in' | 'not in' | 'exists' | 'not exists';
  /** For `in` and `not in`. */
  readonly values: readonly string[];
}

/** Tasks for which everything holds; a list that is empty is no condition. */
export interface TaskFilter {
  readonly namespace: string;
  /** What the caller may see, or touch. */
  readonly permitted: TypeFilter;
  readonly types: readonly string[];
  readonly states: readonly TaskState[];
  readonly labels: readonly LabelCondition[];
  readonly createdAfter: Date | undefined;
  readonly createdBefore: Date | undefined;
  readonly finishedAfter: Date | undefined;
  readonly finishedBefore: Date | undefined;
  readonly errorCodes: readonly string[];
  readonly errorFingerprints: readonly string[];
  readonly paused: boolean | undefined;
  readonly deadLettersOnly: boolean;
}

/** The filter as a condition on `task`. */
export function matchesFilter(filter: TaskFilter): SQL | undefined {
  return and(
    eq(task.namespace, filter.namespace),
    matchesType(filter.permitted),
    filter.types.length === 0 ? undefined : inArray(task.type, [...filter.types]),
    filter.states.length === 0 ? undefined : inArray(task.state, [...filter.states]),
    // In the words of index `task_dead_letter`.
    filter.deadLettersOnly ? sql`state = 'FAILED' AND discarded_time IS NULL` : undefined,
    matchesLabels(filter.labels),
    filter.createdAfter && gte(task.createTime, filter.createdAfter),
    filter.createdBefore && lt(task.createTime, filter.createdBefore),
    inIdRange(filter),
    filter.finishedAfter && gte(task.finishedTime, filter.finishedAfter),
    filter.finishedBefore && lt(task.finishedTime, filter.finishedBefore),
    filter.errorCodes.length === 0 ? undefined : inArray(sql`${task.error}->>'code'`, [...filter.errorCodes]),
    filter.errorFingerprints.length === 0 ? undefined : inArray(task.errorFingerprint, [...filter.errorFingerprints]),
    filter.paused === undefined ? undefined : (filter.paused ? isNotNull : isNull)(task.pausedTime),
  );
}

/** What the times of submission say of ids, which begin with them: so the primary key cuts the range. */
export function inIdRange({ createdAfter, createdBefore }: TaskFilter): SQL | undefined {
  return and(
    createdAfter && gte(task.id, firstIdAt(createdAfter.getTime())),
    // Tasks of one batch have ids that are some microseconds later than their time.
    createdBefore && lt(task.id, firstIdAt(createdBefore.getTime() + 10)),
  );
}

/** The part of the filter that index `task_labels` serves; undefined when there is none. */
export function matchesIndexedLabels({ namespace, labels }: TaskFilter): SQL | undefined {
  const indexed = labels.filter(isIndexed);
  return indexed.length === 0 ? undefined : and(eq(task.namespace, namespace), matchesLabels(indexed));
}

function matchesType(filter: TypeFilter): SQL | undefined {
  if (filter.all) return undefined;
  const named = filter.names.length === 0 ? sql`false` : inArray(task.type, [...filter.names]);
  return or(named, ...filter.prefixes.map((prefix) => sql`starts_with(${task.type}, ${prefix})`));
}

function matchesLabels(labels: readonly LabelCondition[]): SQL | undefined {
  if (labels.length === 0) return undefined;
  // The index is of tasks that have labels.
  return and(labels.some(isIndexed) ? sql`${task.labels} <> '{}'::jsonb` : undefined, ...labels.map(matchesLabel));
}

function isIndexed({ operator }: LabelCondition): boolean {
  return operator === 'in' || operator === 'exists';
}

function matchesLabel({ key, operator, values }: LabelCondition): SQL | undefined {
  switch (operator) {
    case 'in':
      return or(...values.map((value) => sql`${task.labels} @> ${JSON.stringify({ [key]: value })}::jsonb`));
    case 'exists':
      return sql`${task.labels} ? ${key}`;
    case 'not in':
      return sql`NOT (${matchesLabel({ key, operator: 'in', values })})`;
    case 'not exists':
      return sql`NOT ${task.labels} ? ${key}`;
  }
}

function firstIdAt(timeMs: number): string {
  const digits = timeMs.toString(16).padStart(12, '0');
  return `${digits.slice(0, 8)}-${digits.slice(8)}-0000-0000-000000000000`;
}
