import type { TaskFilter, TaskState } from '@dstc/sdk';
import type { FlagParametersForType } from '@stricli/core';
import type { CliContext } from './context.ts';
import { UsageError } from './exit.ts';
import { textFlag } from './flags.ts';
import { parseLabelCondition, type WrittenCondition } from './label-condition.ts';
import { parseTime } from './time.ts';

export const states = [
  'BLOCKED',
  'PENDING',
  'RUNNING',
  'SUCCEEDED',
  'FAILED',
  'CANCELLED',
  'SKIPPED',
] as const satisfies TaskState[];

/** Flags that say which tasks a command is about. */
export interface FilterFlags {
  readonly type?: readonly string[];
  readonly state?: readonly (typeof states)[number][];
  readonly label?: readonly WrittenCondition[];
  readonly createdAfter?: Date;
  readonly createdBefore?: Date;
  readonly finishedAfter?: Date;
  readonly finishedBefore?: Date;
  readonly errorCode?: readonly string[];
  readonly fingerprint?: readonly string[];
  readonly paused?: boolean;
  readonly deadLetters?: boolean;
}

const timeFlag = (brief: string) =>
  ({
    kind: 'parsed',
    parse: (text: string) => parseTime(text),
    optional: true,
    placeholder: 'time|2h',
    brief,
  }) as const;

export const filterFlags: FlagParametersForType<FilterFlags, CliContext> = {
  type: { ...textFlag('name', 'Only tasks of this type; may be repeated'), variadic: true },
  state: {
    kind: 'parsed',
    parse: parseState,
    optional: true,
    variadic: ',',
    placeholder: 'state',
    brief: `Only tasks in these states (${states.join(', ').toLowerCase()}); may be repeated`,
    proposeCompletions: (partial) =>
      states.map((name) => name.toLowerCase()).filter((name) => name.startsWith(partial)),
  },
  label: {
    kind: 'parsed',
    parse: parseLabelCondition,
    optional: true,
    variadic: true,
    placeholder: 'key=value',
    brief: 'Only tasks with this label; also key!=value, "key in (a, b)", key, !key; may be repeated',
  },
  createdAfter: timeFlag('Only tasks submitted since then'),
  createdBefore: timeFlag('Only tasks submitted before'),
  finishedAfter: timeFlag('Only tasks that ended since then'),
  finishedBefore: timeFlag('Only tasks that ended before'),
  errorCode: { ...textFlag('code', 'Only tasks that last failed with this code; may be repeated'), variadic: true },
  fingerprint: {
    ...textFlag('digits', 'Only tasks that last failed for this cause, see dstc task dead-letters; may be repeated'),
    variadic: true,
  },
  paused: { kind: 'boolean', optional: true, brief: 'Only tasks that are paused' },
  deadLetters: {
    kind: 'boolean',
    optional: true,
    withNegated: false,
    brief: 'Only tasks that have failed and were not discarded',
  },
};

export const filterAliases = { t: 'type', s: 'state', l: 'label' } as const;

/** The filter that flags say; undefined when they say none. */
export function filterOfFlags(flags: FilterFlags): TaskFilter | undefined {
  const { type, state, label, createdAfter, createdBefore, finishedAfter, finishedBefore } = flags;
  const { errorCode, fingerprint, paused, deadLetters } = flags;
  const filter: TaskFilter = {
    ...{ types: type, states: state, labels: label && labelsOf(label), createdAfter, createdBefore },
    ...{ finishedAfter, finishedBefore, errorCodes: errorCode, errorFingerprints: fingerprint, paused },
    deadLettersOnly: deadLetters,
  };
  return Object.values(filter).every((condition) => condition === undefined) ? undefined : filter;
}

/** Conditions by the label that they ask something of. */
export function labelsOf(conditions: readonly WrittenCondition[]): TaskFilter['labels'] {
  const labels = Object.fromEntries(conditions);
  if (Object.keys(labels).length < conditions.length) throw new UsageError('ask one thing of each label');
  return labels;
}

function parseState(written: string): (typeof states)[number] {
  const state = states.find((name) => name === written.toUpperCase());
  if (state === undefined) throw new Error(`"${written}" is no state; there are ${states.join(', ').toLowerCase()}`);
  return state;
}
