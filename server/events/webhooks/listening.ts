import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { EventFilterSchema } from '@dstc/contract/dstc/v1/event_service_pb';
import { LRUCache } from 'lru-cache';
import { taskTypeOf } from '../../doors/convert/event.ts';
import { labelConditionsOf } from '../../doors/convert/task-filter.ts';
import type { StoredEvent } from '../../store/select-events.ts';
import type { ListeningWebhook } from '../../store/webhooks.ts';
import { createEventFilter, isEventType } from '../event-filter.ts';

/** Whether a webhook is to get an event. */
export type IsFor = (webhook: ListeningWebhook, event: StoredEvent) => boolean;

const filtersMax = 10_000;

/** Filters are read once for each version of a webhook. */
export function createIsFor(): IsFor {
  const filters = new LRUCache<string, (event: StoredEvent) => boolean>({ max: filtersMax });

  function filterOf({ id, etag, filter }: ListeningWebhook): (event: StoredEvent) => boolean {
    const key = `${id}/${etag}`;
    const known = filters.get(key);
    if (known !== undefined) return known;
    const made = passes(filter as JsonValue);
    filters.set(key, made);
    return made;
  }

  return (webhook, event) =>
    webhook.namespace === event.namespace &&
    BigInt(event.position.order) >= BigInt(webhook.sinceOrder) &&
    filterOf(webhook)(event);
}

function passes(json: JsonValue): (event: StoredEvent) => boolean {
  const { types, taskTypes, taskIds, ...labels } = fromJson(EventFilterSchema, json, { ignoreUnknownFields: true });
  // A type that only newer nodes know is one of events that this node does not meet.
  const knownTypes = types.filter(isEventType);
  if (types.length > 0 && knownTypes.length === 0) return () => false;
  const filter = createEventFilter({ types: knownTypes, taskTypes, taskIds, labels: labelConditionsOf(labels) });
  const named = operationsNamedBy(types);
  return (event) =>
    (taskTypeOf(event) !== undefined || named.some((name) => event.kind.startsWith(name))) && filter(event);
}

/** Events that concern no task type. Only who names them gets them, because only operators may see them. */
const operations = ['worker_session.', 'namespace.'] as const;

/** Which of them the types of a filter name: `dstc.namespace.*` does, `dstc.*` does not. */
export function operationsNamedBy(types: readonly string[]): readonly string[] {
  return operations.filter((name) => types.some((type) => type.startsWith(`dstc.${name}`)));
}
