import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { EventFilterSchema } from '@dstc/contract/dstc/v1/event_service_pb';
import { LRUCache } from 'lru-cache';
import { taskTypeOf } from '../../doors/convert/event.ts';
import { labelConditionsOf } from '../../doors/convert/task-filter.ts';
import { filterOf } from '../../doors/convert/webhook.ts';
import type { DeliveryScope } from '../../store/delivery-scope.ts';
import type { StoredEvent } from '../../store/select-events.ts';
import type { ListeningWebhook, WebhookRow } from '../../store/webhooks.ts';
import { createEventFilter, isEventType } from '../event-filter.ts';
import type { EventFacts } from './event-facts.ts';

/** Whether a webhook is to get an event. */
export type IsFor = (webhook: ListeningWebhook, event: StoredEvent) => boolean;

const filtersMax = 10_000;

/** Filters are read once for each version of a webhook. */
export function createIsFor(): IsFor {
  const filters = new LRUCache<string, (event: StoredEvent) => boolean>({ max: filtersMax });

  function passing({ id, etag, filter }: ListeningWebhook): (event: StoredEvent) => boolean {
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
    passing(webhook)(event);
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

/**
 * Which of them the types of a filter name: `dstc.namespace.*` does, and so does `dstc.n*`; `dstc.*` does not, which is
 * said of everything.
 */
export function operationsNamedBy(types: readonly string[]): readonly string[] {
  return operations.filter((name) => types.some((type) => names(type, `dstc.${name}`)));
}

const everything = 'dstc.';

function names(type: string, start: string): boolean {
  if (type.startsWith(start)) return true;
  const wanted = type.endsWith('*') ? type.slice(0, -1) : '';
  return wanted.length > everything.length && start.startsWith(wanted);
}

/**
 * Which deliveries of a webhook its filter of now covers, as far as permissions go by it: whoever may see the webhook may
 * read these events, and not those that an earlier filter let through.
 */
export function scopeOf(webhook: Pick<WebhookRow, 'filter'>): DeliveryScope {
  const { types, taskTypes } = filterOf(webhook);
  const named = operationsNamedBy(types);
  const typesLeftOut = operations.flatMap((name) => (named.includes(name) ? [] : `dstc.${name}`));
  return { taskTypes, typesLeftOut };
}

/** What `store/delivery-scope.ts` says in SQL. */
export function isCovered(webhook: Pick<WebhookRow, 'filter'>, event: Pick<EventFacts, 'type' | 'taskType'>): boolean {
  const { taskTypes, typesLeftOut } = scopeOf(webhook);
  return (
    (taskTypes.length === 0 || taskTypes.includes(event.taskType)) &&
    !typesLeftOut.some((start) => event.type.startsWith(start))
  );
}
