import type { Webhook, WebhookDelivery } from '@dstc/sdk';
import type { Painted } from './shown.ts';
import { formatFields, formatTable } from './table.ts';
import { ageText } from './task-text.ts';

/** Webhooks, one a line. */
export function webhooksText(webhooks: readonly Webhook[]): Painted {
  return formatTable(
    [
      { title: 'id', value: (webhook: Webhook) => webhook.id },
      { title: 'status', value: statusText },
      { title: 'format', value: (webhook: Webhook) => formatText(webhook) },
      { title: 'url', value: (webhook: Webhook) => webhook.url },
      { title: 'description', value: (webhook: Webhook) => webhook.description ?? '' },
    ],
    webhooks,
  );
}

/** One webhook with everything that is known of it, and its secret when it was made just now. */
export function webhookText(webhook: Webhook & { readonly secret?: string }): Painted {
  const { filter = {}, status } = webhook;
  const list = (values: readonly string[] | undefined) => (values?.length ? values.join(' ') : undefined);
  const json = (value: object | undefined) =>
    value === undefined || Object.keys(value).length === 0 ? undefined : JSON.stringify(value);
  return formatFields([
    ['id', webhook.id],
    ['description', webhook.description || undefined],
    ['url', webhook.url],
    ['format', formatText(webhook)],
    ['settings', json(Object.values(webhook.format ?? {})[0])],
    ['event types', list(filter.types)],
    ['task types', list(filter.taskTypes)],
    ['tasks', list(filter.taskIds)],
    ['labels', json(filter.labels)],
    ['headers', list(Object.keys(webhook.headers ?? {}))],
    ['secret headers', list(Object.keys(webhook.secretHeaders ?? {}))],
    ['status', statusText(webhook)],
    ['why disabled', webhook.disabledReason || undefined],
    ['next try', status.probeTime?.toISOString()],
    ['failures in a row', status.failures === 0 ? undefined : String(status.failures)],
    ['last failure', status.lastFailure && `${status.lastFailureTime?.toISOString() ?? ''} ${status.lastFailure}`],
    ['last success', status.lastSuccessTime?.toISOString()],
    ['waiting', counted(status.pending)],
    ['dead letters', counted(status.deadLetters)],
    ['old secret until', status.previousSecretExpireTime?.toISOString()],
    ['created', `${webhook.createTime?.toISOString() ?? ''} by ${webhook.creator}`],
    ['changed', webhook.updateTime?.toISOString()],
    ['etag', webhook.etag],
    ['secret', webhook.secret],
  ]);
}

/** Deliveries, one a line. */
export function deliveriesText(deliveries: readonly WebhookDelivery[], now: Date): Painted {
  return formatTable(
    [
      { title: 'event', value: (one: WebhookDelivery) => one.eventId },
      { title: 'type', value: (one: WebhookDelivery) => one.eventType },
      { title: 'state', value: (one: WebhookDelivery) => one.state },
      { title: 'attempts', value: (one: WebhookDelivery) => String(one.attempts) },
      { title: 'made', value: (one: WebhookDelivery) => `${ageText(one.createTime, now)} ago` },
      { title: 'answer', value: (one: WebhookDelivery) => (one.responseStatus ? String(one.responseStatus) : '') },
      { title: 'issue', value: (one: WebhookDelivery) => one.externalId },
      { title: 'error', value: (one: WebhookDelivery) => one.error },
    ],
    deliveries,
  );
}

function formatText({ format }: Webhook): string {
  return Object.keys(format ?? {})[0] ?? 'cloudEvent';
}

function statusText({ disabled, status }: Webhook): string {
  if (disabled) return 'disabled';
  return status.circuit === 'CLOSED' ? 'active' : `circuit-${status.circuit.toLowerCase().replace('_', '-')}`;
}

/** The coordinator counts this far. */
const countMax = 10_000;

function counted(count: number): string | undefined {
  if (count === 0) return undefined;
  return count >= countMax ? `${countMax} or more` : String(count);
}
