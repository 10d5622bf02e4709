import type { EventRule, EventRuleTest } from '@dstc/sdk';
import { formatDurationMs } from '../duration.ts';
import type { Painted } from './shown.ts';
import { formatFields, formatTable } from './table.ts';
import { ageText } from './task-text.ts';

/** Event rules, one a line. */
export function eventRulesText(rules: readonly EventRule[]): Painted {
  const now = new Date();
  return formatTable(
    [
      { title: 'name', value: (rule: EventRule) => rule.name },
      { title: 'event type', value: (rule: EventRule) => rule.eventType },
      { title: 'task type', value: (rule: EventRule) => rule.taskType },
      { title: 'changed', value: (rule: EventRule) => `${ageText(rule.updateTime, now)} ago` },
      { title: 'description', value: (rule: EventRule) => rule.description ?? '' },
    ],
    rules,
  );
}

/** One event rule with everything that is known of it. */
export function eventRuleText(rule: EventRule): Painted {
  return formatFields([
    ['name', rule.name],
    ['description', rule.description],
    ['event type', rule.eventType],
    ['event source', rule.eventSource],
    ['condition', rule.condition],
    ['task type', rule.taskType],
    ['input', rule.input === undefined ? undefined : JSON.stringify(rule.input)],
    ['labels', labelsText(rule.labels)],
    ['priority', rule.priority === undefined ? undefined : String(rule.priority)],
    ['delay', durationText(rule.delayMs)],
    ['etag', rule.etag],
    ['changed', rule.updateTime?.toISOString()],
  ]);
}

/** What a rule would make of an event. */
export function eventRuleTestText({ matches, submission, error }: EventRuleTest): Painted {
  return formatFields([
    ['matches', matches ? 'yes' : 'no'],
    ['error', error && `${error.message} (${error.reason})`],
    ['task type', submission?.taskType],
    ['input', submission && inputText(submission.input)],
    ['labels', labelsText(submission?.labels)],
    ['priority', submission?.priority === undefined ? undefined : String(submission.priority)],
    ['delay', durationText(submission?.delayMs)],
    ['idempotency key', submission?.idempotencyKey],
  ]);
}

function labelsText(labels: Readonly<Record<string, string>> = {}): string | undefined {
  const all = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return all.length === 0 ? undefined : all.join(' ');
}

function durationText(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : formatDurationMs(ms);
}

function inputText(input: unknown): string {
  if (typeof input !== 'object' || input === null || !('data' in input) || !(input.data instanceof Uint8Array)) {
    return JSON.stringify(input) ?? 'none';
  }
  return `${input.data.byteLength} bytes${'contentType' in input ? ` of ${input.contentType}` : ''}`;
}
