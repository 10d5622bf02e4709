import {
  LabelOperator,
  type LabelSelector,
  type TaskFilter as TaskFilterMessage,
} from '@dstc/contract/dstc/v1/task_filter_pb';
import type { LabelCondition, TaskFilter } from '../../store/task-filter.ts';
import { taskStateOf } from './enums.ts';
import { optionalDate } from './time.ts';

/** What a caller asks for, without what the caller is permitted. */
export type RequestedTasks = Omit<TaskFilter, 'permitted'>;

/**
 * The tasks that a request is about. In an order of its own, because page tokens are tied to it and clients write the
 * entries of a map in any order.
 */
export function requestedTasksOf(namespace: string, message: TaskFilterMessage | undefined): RequestedTasks {
  return {
    namespace,
    types: message?.types.toSorted() ?? [],
    states: message?.states.flatMap((state) => taskStateOf[state] ?? []).toSorted() ?? [],
    labels: labelConditionsOf(message).sort((a, b) => (a.key < b.key ? -1 : 1)),
    createdAfter: optionalDate('filter.created_after', message?.createdAfter),
    createdBefore: optionalDate('filter.created_before', message?.createdBefore),
    finishedAfter: optionalDate('filter.finished_after', message?.finishedAfter),
    finishedBefore: optionalDate('filter.finished_before', message?.finishedBefore),
    errorCodes: message?.errorCodes.toSorted() ?? [],
    errorFingerprints: message?.errorFingerprints.toSorted() ?? [],
    paused: message?.paused,
    deadLettersOnly: message?.deadLettersOnly ?? false,
  };
}

/** What a filter asks of labels. */
export function labelConditionsOf(
  filter: Pick<TaskFilterMessage, 'labels' | 'labelSelectors'> | undefined,
): LabelCondition[] {
  const labels = Object.entries(filter?.labels ?? {}).map(
    ([key, value]): LabelCondition => ({ key, operator: 'in', values: [value] }),
  );
  return [...labels, ...(filter?.labelSelectors.map(labelConditionOf) ?? [])];
}

/** Whether a request asks for everything. */
export function isEmptyFilter({ namespace: _, ...conditions }: RequestedTasks): boolean {
  return Object.values(conditions).every(
    (value) => value === undefined || value === false || (Array.isArray(value) && value.length === 0),
  );
}

/** Whether how many tasks match tells more of them than their type, and the state that commands change. */
export function looksIntoTasks(requested: RequestedTasks): boolean {
  return !isEmptyFilter({ ...requested, types: [], states: [], paused: undefined, deadLettersOnly: false });
}

function labelConditionOf({ key, operator, values }: LabelSelector): LabelCondition {
  return { key, operator: labelOperatorOf[operator], values: values.toSorted() };
}

const labelOperatorOf = {
  [LabelOperator.UNSPECIFIED]: 'in',
  [LabelOperator.IN]: 'in',
  [LabelOperator.NOT_IN]: 'not in',
  [LabelOperator.EXISTS]: 'exists',
  [LabelOperator.NOT_EXISTS]: 'not exists',
} as const satisfies Record<LabelOperator, LabelCondition['operator']>;
