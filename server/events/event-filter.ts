import { eventKinds } from '../domain/lifecycle.ts';
import { systemEventKinds } from '../domain/system-event.ts';
import { eventTypeOf, taskTypeOf } from '../doors/convert/event.ts';
import type { StoredEvent } from '../store/select-events.ts';
import type { LabelCondition } from '../store/task-filter.ts';

/** Events for which everything holds; a list that is empty is no condition. */
export interface EventFilter {
  /** Such as `dstc.task.failed.v1`, or what types begin with and a `*`. */
  readonly types: readonly string[];
  readonly taskTypes: readonly string[];
  readonly taskIds: readonly string[];
  readonly labels: readonly LabelCondition[];
}

const kindsByType = new Map<string, string>([
  ...eventKinds.map((kind) => [eventTypeOf({ of: 'task', kind }), kind] as const),
  ...systemEventKinds.map((kind) => [eventTypeOf({ of: 'system', kind }), kind] as const),
]);

/** Whether there is a type of events that a pattern stands for. */
export function isEventType(pattern: string): boolean {
  return eventTypesOf(pattern).length > 0;
}

/** The types of events that a pattern stands for. */
export function eventTypesOf(pattern: string): readonly string[] {
  if (!pattern.endsWith('*')) return kindsByType.has(pattern) ? [pattern] : [];
  const start = pattern.slice(0, -1);
  return [...kindsByType.keys()].filter((type) => type.startsWith(start));
}

/** A filter to be asked for many events. */
export function createEventFilter(filter: EventFilter): (event: StoredEvent) => boolean {
  const kinds = setOf(filter.types.flatMap(kindsOf));
  const taskTypes = setOf(filter.taskTypes);
  const taskIds = setOf(filter.taskIds);
  const { labels } = filter;
  return (event) =>
    (kinds === undefined || kinds.has(event.kind)) &&
    (taskTypes === undefined || taskTypes.has(taskTypeOf(event) ?? '')) &&
    (taskIds === undefined || (event.of === 'task' && taskIds.has(event.position.subjectId))) &&
    (labels.length === 0 || (event.of === 'task' && labels.every((condition) => meets(event.labels, condition))));
}

function kindsOf(pattern: string): string[] {
  return eventTypesOf(pattern).flatMap((type) => kindsByType.get(type) ?? []);
}

function setOf(values: readonly string[]): ReadonlySet<string> | undefined {
  return values.length === 0 ? undefined : new Set(values);
}

/** What `store/task-filter.ts` says in SQL. */
function meets(labels: Readonly<Record<string, string>>, { key, operator, values }: LabelCondition): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'in':
      return value !== undefined && values.includes(value);
    case 'not in':
      return value === undefined || !values.includes(value);
    case 'exists':
      return value !== undefined;
    case 'not exists':
      return value === undefined;
  }
}
