import { create, fromJson, type JsonValue, toJson } from '@bufbuild/protobuf';
import { type EventFilter, EventFilterSchema } from '@dstc/contract/dstc/v1/event_service_pb';
import {
  WebhookDeliveryState as DeliveryStateProto,
  type Webhook,
  WebhookCircuitState,
  type WebhookDelivery,
  WebhookDeliverySchema,
  WebhookSchema,
  type WebhookStatus,
  WebhookStatusSchema,
} from '@dstc/contract/dstc/v1/webhook_pb';
import type { WebhookDeliveryState } from '../../domain/webhook.ts';
import type { DeliveryRow } from '../../store/list-deliveries.ts';
import type { WebhookRow, WebhookSettings } from '../../store/webhooks.ts';
import { eventFilterOf } from './event-filter.ts';
import { namespaceOf } from './namespace.ts';
import { toDuration, toTimestamp } from './time.ts';
import { toWebhookFormat, webhookFormatOf } from './webhook-format.ts';

/** What people set of a webhook, with its defaults filled in. */
export function webhookSettingsOf(message: Webhook): WebhookSettings {
  // Refuses what no event can meet.
  eventFilterOf(message.filter, 'webhook.filter');
  return {
    namespace: namespaceOf(message),
    description: message.description,
    url: message.url,
    filter: toJson(EventFilterSchema, message.filter ?? create(EventFilterSchema)),
    headers: message.headers,
    secretHeaders: message.secretHeaders,
    format: webhookFormatOf(message),
    isDisabled: message.disabled,
  };
}

/** The filter of a webhook that is stored. */
export function filterOf(row: Pick<WebhookRow, 'filter'>): EventFilter {
  return fromJson(EventFilterSchema, row.filter as JsonValue, { ignoreUnknownFields: true });
}

/** How many deliveries wait and were given up, where they are counted. */
export type DeliveryCounts = Pick<WebhookStatus, 'pending' | 'deadLetters'>;

/** Without anything that is secret. */
export function toWebhook(row: WebhookRow, counts?: DeliveryCounts): Webhook {
  const { namespace, id, description, url, disabledReason, etag, creator } = row;
  return create(WebhookSchema, {
    ...{ namespace, id, description, url, disabledReason, etag, creator },
    filter: filterOf(row),
    headers: { ...row.headers },
    secretHeaders: Object.fromEntries(Object.keys(row.secretHeaders).map((name) => [name, ''])),
    format: toWebhookFormat(row.format),
    disabled: row.disabledTime !== null,
    createTime: toTimestamp(row.createTime),
    updateTime: toTimestamp(row.updateTime),
    status: toStatus(row, counts),
  });
}

function toStatus(row: WebhookRow, counts: DeliveryCounts | undefined): WebhookStatus {
  const expiries = row.previousSecrets.map(({ expireTime }) => Date.parse(expireTime));
  const times = {
    ...(row.probeTime && { probeTime: toTimestamp(row.probeTime) }),
    ...(row.lastSuccessTime && { lastSuccessTime: toTimestamp(row.lastSuccessTime) }),
    ...(row.lastFailureTime && { lastFailureTime: toTimestamp(row.lastFailureTime) }),
    ...(expiries.length > 0 && { previousSecretExpireTime: toTimestamp(new Date(Math.max(...expiries))) }),
  };
  const { failures, lastFailure } = row;
  return create(WebhookStatusSchema, { ...times, ...counts, failures, lastFailure, circuit: circuitOf(row) });
}

function circuitOf({ probeTime, probing }: WebhookRow): WebhookCircuitState {
  if (probeTime === null) return WebhookCircuitState.CLOSED;
  return probing ? WebhookCircuitState.HALF_OPEN : WebhookCircuitState.OPEN;
}

export const deliveryStateOf = {
  [DeliveryStateProto.UNSPECIFIED]: undefined,
  [DeliveryStateProto.PENDING]: 'PENDING',
  [DeliveryStateProto.SUCCEEDED]: 'SUCCEEDED',
  [DeliveryStateProto.DEAD_LETTER]: 'DEAD_LETTER',
} as const satisfies Record<DeliveryStateProto, WebhookDeliveryState | undefined>;

const toDeliveryState = {
  PENDING: DeliveryStateProto.PENDING,
  SUCCEEDED: DeliveryStateProto.SUCCEEDED,
  DEAD_LETTER: DeliveryStateProto.DEAD_LETTER,
} as const satisfies Record<WebhookDeliveryState, DeliveryStateProto>;

export function toWebhookDelivery(row: DeliveryRow): WebhookDelivery {
  const { eventId, eventType, attempts, error } = row;
  return create(WebhookDeliverySchema, {
    ...{ eventId, eventType, attempts, error },
    state: toDeliveryState[row.state],
    createTime: toTimestamp(new Date(row.createMs)),
    ...(row.lastAttemptMs !== null && { lastAttemptTime: toTimestamp(new Date(row.lastAttemptMs)) }),
    ...(row.state === 'PENDING' && { nextAttemptTime: toTimestamp(new Date(row.dueMs)) }),
    responseStatus: row.responseStatus ?? 0,
    ...(row.durationMs !== null && { duration: toDuration(row.durationMs) }),
    externalId: row.externalId ?? '',
  });
}
