import type { EventRuleDefinition, JsonValue } from '@dstc/sdk';
import { checked, type Fields, mapping, readDefinitions, withDurations } from './definition-file.ts';
import { UsageError } from './exit.ts';

/**
 * Reads event rules from YAML or JSON: one, a list, or several documents. What `dstc event-rule get -o json` prints can be
 * read back.
 */
export function parseEventRuleFile(name: string, text: string): readonly EventRuleDefinition[] {
  return readDefinitions(name, text, 'event rule').map((value) => ruleOf(name, value));
}

function ruleOf(file: string, value: unknown): EventRuleDefinition {
  const fields = withDurations(file, '', mapping(file, 'an event rule', value));
  const { name } = fields;
  if (typeof name !== 'string' || name === '') throw new UsageError(`${file}: name: every event rule needs one`);
  // A template that is null is one, and stands for null.
  const { input, ...rest } = fields;
  const { eventType, taskType, ...known } = checked(file, name, rest, ruleFields);
  if (typeof eventType !== 'string') throw new UsageError(`${file}: ${name}.eventType: every event rule needs it`);
  if (typeof taskType !== 'string') throw new UsageError(`${file}: ${name}.taskType: every event rule needs it`);
  const { labels, ...others } = known;
  return {
    ...others,
    name,
    eventType,
    taskType,
    ...('input' in fields && { input: input as JsonValue }),
    ...(labels !== undefined && { labels: labelsOf(file, `${name}.labels`, labels) }),
  };
}

const ruleFields: Fields = {
  name: 'text',
  description: 'text',
  eventType: 'text',
  eventSource: 'text',
  condition: 'text',
  taskType: 'text',
  labels: 'object',
  priority: 'number',
  delayMs: 'number',
  etag: 'text',
  // The coordinator sets these; a rule that was read brings them.
  namespace: 'ignored',
  createTime: 'ignored',
  updateTime: 'ignored',
};

function labelsOf(file: string, path: string, value: unknown): Record<string, string> {
  return Object.fromEntries(
    Object.entries(mapping(file, path, value)).map(([label, template]) => {
      if (typeof template !== 'string') throw new UsageError(`${file}: ${path}.${label}: must be text`);
      return [label, template];
    }),
  );
}
