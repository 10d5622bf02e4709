import type { Logger } from 'pino';
import { limits } from '../../domain/limits.ts';
import type { Database } from '../../store/database.ts';
import type { EventConsumer } from '../shard-reader.ts';
import { createAddressCheck, type Network, type Resolve, resolveName } from './addresses.ts';
import { createWebhookConsumer } from './consumer.ts';
import { createHttpClient } from './http-client.ts';
import { createSendDelivery } from './send-delivery.ts';
import { type SenderCounts, startSender } from './sender.ts';
import { startSweeper, type WebhookFigures } from './sweeper.ts';
import { createTestWebhook, type TestWebhook } from './test-webhook.ts';
import { createWebhooks, type Webhooks } from './webhooks.ts';

export interface WebhookOptions {
  /** The name of this installation. */
  readonly cell: string;
  readonly allowsHttp: boolean;
  readonly allowedNetworks: readonly Network[];
  /** How names become addresses. */
  readonly resolve?: Resolve;
  readonly deliveryMsMax?: number;
  readonly sendingMax?: number;
}

/** Everything that happens with webhooks on a node, put together. */
export interface WebhookParts {
  /** To be given all events. */
  readonly consumer: EventConsumer;
  readonly webhooks: Webhooks;
  readonly testWebhook: TestWebhook;
  readonly counts: () => SenderCounts;
  readonly figures: () => WebhookFigures;
  readonly stop: () => Promise<void>;
}

export function startWebhooks(
  deps: { readonly database: Database; readonly log: Logger },
  options: WebhookOptions,
): WebhookParts {
  const { database, log } = deps;
  const { cell, resolve = resolveName, deliveryMsMax = limits.webhookDeliveryMsMax } = options;
  const rules = { allowsHttp: options.allowsHttp, isAllowed: createAddressCheck(options.allowedNetworks) };
  const client = createHttpClient({
    ...rules,
    resolve,
    connectMsMax: limits.webhookConnectMsMax,
    responseBytesMax: limits.webhookResponseBytesMax,
  });
  const send = createSendDelivery(
    { client },
    {
      deliveryMsMax,
      retryAfterMsMax: limits.webhookRetryAfterMsMax,
      errorCharactersMax: limits.webhookErrorCharactersMax,
    },
  );
  const sender = startSender(
    { database, send, log },
    {
      sendingMax: options.sendingMax ?? limits.webhookSendingMax,
      perFreePlaceMax: limits.webhookSendingPerFreePlaceMax,
      perEndpointMax: limits.webhookSendingPerEndpointMax,
      leaseMs: limits.webhookLeaseMs,
      pollMs: limits.pollIntervalMs,
    },
  );
  const sweeper = startSweeper({ database, log });
  return {
    consumer: createWebhookConsumer(
      { database, onMade: sender.wake },
      {
        cell,
        eventsMax: limits.webhookEventsMax,
        batchMax: limits.webhookBatchMax,
        pendingMsMax: limits.webhookPendingMsMax,
      },
    ),
    webhooks: createWebhooks({ database, rules, wake: sender.wake }),
    testWebhook: createTestWebhook({ database, send }, { cell }),
    counts: sender.counts,
    figures: sweeper.figures,
    async stop() {
      await Promise.all([sender.stop(), sweeper.stop()]);
      client.close();
    },
  };
}
