import { toJson } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { eventKinds } from '../domain/lifecycle.ts';
import { taskStates } from '../domain/task-state.ts';
import { toEventData } from '../doors/convert/event.ts';
import type { StoredTaskEvent } from '../store/select-events.ts';
import { eventDataJson } from './event-data.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 20 });
const id = fc.uuid();
const labels = fc.dictionary(
  fc.string({ minLength: 1 }).filter((name) => name !== '__proto__'),
  text,
  { noNullPrototype: true },
);
const error = fc.record({
  ...{ code: text, message: text },
  kind: fc.constantFrom('TRANSIENT' as const, 'PERMANENT' as const, 'FATAL' as const),
});

test.each(eventKinds)('the data of an event of a task that is %s are the JSON form of its message', (kind) => {
  const facts = fc.record({
    ...{ type: fc.string({ minLength: 1 }), state: fc.constantFrom(...taskStates), attempt: fc.nat(), labels },
    ...{ leaseId: fc.option(id), sessionId: fc.option(id), error: fc.option(error), reason: fc.option(text) },
    retryDelayMs: fc.option(fc.nat({ max: 400 * 86_400_000 })),
  });
  fc.assert(
    fc.property(id, facts, (subjectId, facts) => {
      const event: StoredTaskEvent = {
        ...{ of: 'task', kind, namespace: 'shop', actor: 'ada', traceParent: null },
        ...{ position: { order: '7', subjectId, sequence: 3, timeMs: 0 }, ...facts },
      };
      const { schema, message } = toEventData(event);
      expect(JSON.stringify(eventDataJson(event))).toBe(JSON.stringify(toJson(schema, message)));
    }),
  );
});
