import { Counter, Gauge, type Registry } from 'prom-client';
import type { WebhookParts } from './events/webhooks/start-webhooks.ts';

export type WebhookActivity = Pick<WebhookParts, 'counts' | 'figures'>;

/** What a node tells of webhooks. */
export function addWebhookMetrics(registry: Registry, webhooks: WebhookActivity): void {
  new Gauge({
    name: 'dstc_webhook_deliveries_pending',
    help: 'Deliveries that wait for their endpoints, over all nodes, counted up to 10,000 every 15 s.',
    registers: [registry],
    collect() {
      this.set(webhooks.figures().pending);
    },
  });
  new Gauge({
    name: 'dstc_webhook_open_circuits',
    help: 'Webhooks that nothing is sent to because they fail, over all nodes, as of the last 15 s.',
    registers: [registry],
    collect() {
      this.set(webhooks.figures().openCircuits);
    },
  });
  new Counter({
    name: 'dstc_webhook_attempts_total',
    help: 'Attempts of this node to deliver an event to a webhook, by what became of them.',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      this.reset();
      const { succeeded, failed } = webhooks.counts();
      this.inc({ outcome: 'succeeded' }, succeeded);
      this.inc({ outcome: 'failed' }, failed);
    },
  });
  new Counter({
    name: 'dstc_webhook_dead_letters_total',
    help: 'Deliveries that this node has given up after their last attempt.',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(webhooks.counts().deadLettered);
    },
  });
}
