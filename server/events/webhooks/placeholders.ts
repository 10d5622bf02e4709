import { fieldInvalid } from '../../domain/errors.ts';
import type { EventFacts } from './event-facts.ts';

/** What may stand in an input of a pipeline. No text that people write: scripts would run it. */
const placeholders: Readonly<Record<string, (facts: EventFacts) => string>> = {
  event_id: (facts) => facts.id,
  event_type: (facts) => facts.type,
  namespace: (facts) => facts.namespace,
  task_id: (facts) => facts.taskId,
  task_type: (facts) => facts.taskType,
  attempt: (facts) => String(facts.attempt),
  error_code: (facts) => facts.errorCode,
  time: (facts) => facts.time,
};

const pattern = /\{([a-z_]+)\}/g;

/** Refuses values with placeholders that mean nothing. */
export function checkPlaceholders(field: string, values: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(values)) {
    for (const [written, placeholder = ''] of value.matchAll(pattern)) {
      if (Object.hasOwn(placeholders, placeholder)) continue;
      const known = Object.keys(placeholders).map((key) => `{${key}}`);
      throw fieldInvalid(`${field}[${JSON.stringify(name)}]`, `${written} means nothing; write ${known.join(', ')}`);
    }
  }
}

export function fillIn(values: Readonly<Record<string, string>>, facts: EventFacts): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      value.replace(pattern, (written, placeholder: string) =>
        Object.hasOwn(placeholders, placeholder) ? (placeholders[placeholder]?.(facts) ?? written) : written,
      ),
    ]),
  );
}
