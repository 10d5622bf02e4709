import { create } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  type TaskFilter as ContractFilter,
  LabelOperator,
  type LabelSelector,
  LabelSelectorSchema,
  TaskFilterSchema,
} from '@dstc/contract/dstc/v1/task_filter_pb';
import { TaskState as ContractState } from '@dstc/contract/dstc/v1/task_pb';
import { DstcError } from './errors.ts';
import type { TaskState } from './task.ts';

/** What is asked of a label: a value, or one of several, or none of several, or whether there is one. */
export type LabelCondition =
  | string
  | { readonly in: readonly string[] }
  | { readonly notIn: readonly string[] }
  | { readonly exists: boolean };

/** Which tasks: those for which all of it holds. What is left out does not matter. */
export interface TaskFilter {
  readonly types?: readonly string[] | undefined;
  readonly states?: readonly Exclude<TaskState, 'UNSPECIFIED'>[] | undefined;
  readonly labels?: Readonly<Record<string, LabelCondition>> | undefined;
  readonly createdAfter?: Date | undefined;
  readonly createdBefore?: Date | undefined;
  readonly finishedAfter?: Date | undefined;
  readonly finishedBefore?: Date | undefined;
  /** Of the last failure, such as `PROVIDER_TIMEOUT`. */
  readonly errorCodes?: readonly string[] | undefined;
  /** Of the last failure: what failures of one cause have in common. */
  readonly errorFingerprints?: readonly string[] | undefined;
  readonly paused?: boolean | undefined;
  /** Only tasks that have FAILED and were not discarded. */
  readonly deadLettersOnly?: boolean | undefined;
}

/** For a call that changes all that match: a selection that was worked out and came out empty is not everything. */
export function narrowFilterOf(filter: TaskFilter): ContractFilter {
  for (const [name, value] of Object.entries(filter)) {
    if (Array.isArray(value) && value.length === 0) {
      throw invalid(name, 'an empty list matches nothing; leave it out to match everything');
    }
  }
  return filterOf(filter);
}

export function filterOf(filter: TaskFilter): ContractFilter {
  const { types = [], states = [], labels = {}, errorCodes = [], errorFingerprints = [], paused, ...more } = filter;
  const { createdAfter, createdBefore, finishedAfter, finishedBefore, deadLettersOnly = false, ...unknown } = more;
  // A condition with a mistake in its name would be no condition.
  const [mistake] = Object.keys(unknown);
  if (mistake !== undefined) throw invalid(mistake, 'there is no such condition');
  return create(TaskFilterSchema, {
    types: [...types],
    states: states.map((state) => ContractState[state]),
    labelSelectors: Object.entries(labels).map(([key, condition]) => selectorOf(key, condition)),
    ...(createdAfter !== undefined && { createdAfter: timestampFromDate(createdAfter) }),
    ...(createdBefore !== undefined && { createdBefore: timestampFromDate(createdBefore) }),
    ...(finishedAfter !== undefined && { finishedAfter: timestampFromDate(finishedAfter) }),
    ...(finishedBefore !== undefined && { finishedBefore: timestampFromDate(finishedBefore) }),
    errorCodes: [...errorCodes],
    errorFingerprints: [...errorFingerprints],
    ...(paused !== undefined && { paused }),
    deadLettersOnly,
  });
}

export function selectorOf(key: string, condition: LabelCondition): LabelSelector {
  if (typeof condition === 'string') return selector(key, LabelOperator.IN, [condition]);
  if ('in' in condition) return selector(key, LabelOperator.IN, condition.in);
  if ('notIn' in condition) return selector(key, LabelOperator.NOT_IN, condition.notIn);
  return selector(key, condition.exists ? LabelOperator.EXISTS : LabelOperator.NOT_EXISTS, []);
}

function selector(key: string, operator: LabelOperator, values: readonly string[]): LabelSelector {
  return create(LabelSelectorSchema, { key, operator, values: [...values] });
}

function invalid(field: string, description: string): DstcError {
  return new DstcError({
    reason: 'FIELD_INVALID',
    code: 'INVALID_ARGUMENT',
    message: `filter.${field}: ${description}`,
    violations: [{ field: `filter.${field}`, description }],
  });
}
