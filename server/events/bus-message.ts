import { eventIdOf, eventTypeOf, taskTypeOf } from '../doors/convert/event.ts';
import type { StoredEvent } from '../store/select-events.ts';
import type { BusMessage } from './bus.ts';
import { type CloudEventFormat, cloudEventForm } from './cloud-event.ts';
import { subjectOf } from './subject.ts';

/** What all events of a kind, namespace and task type have in common. */
interface Common {
  readonly subject: string;
  readonly headers: string;
}

/** Kinds, namespaces and task types together; a coordinator seldom sees as many. */
const commonsMax = 10_000;

/** Writes the events of an installation as messages. */
export function createMessageWriter(cell: string, format: CloudEventFormat): (event: StoredEvent) => BusMessage {
  const form = cloudEventForm(format, cell);
  const commons = new Map<string, Common>();

  function commonOf(event: StoredEvent): Common {
    const taskType = taskTypeOf(event) ?? '';
    // No name has such a character.
    const key = `${event.kind}\0${event.namespace}\0${taskType}`;
    const known = commons.get(key);
    if (known !== undefined) return known;
    const subject = subjectOf(cell, { namespace: event.namespace, type: eventTypeOf(event), taskType });
    const common = { subject, headers: form.commonHeaders(event) };
    if (commons.size === commonsMax) commons.clear();
    commons.set(key, common);
    return common;
  }

  return (event) => {
    const { subject, headers } = commonOf(event);
    return { id: eventIdOf(event), subject, headers: headers + form.ownHeaders(event), data: form.body(event) };
  };
}
