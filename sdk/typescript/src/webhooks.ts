import { create } from '@bufbuild/protobuf';
import { durationFromMs, durationMs, timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  type WebhookDelivery as ContractDelivery,
  WebhookDeliveryState as ContractDeliveryState,
  type Webhook as ContractWebhook,
  WebhookCircuitState,
} from '@dstc/contract/dstc/v1/webhook_pb';
import {
  CreateWebhookRequestSchema,
  DeleteWebhookRequestSchema,
  GetWebhookRequestSchema,
  ListWebhookDeliveriesRequestSchema,
  ListWebhooksRequestSchema,
  ReplayWebhookDeliveriesRequestSchema,
  RotateWebhookSecretRequestSchema,
  TestWebhookRequestSchema,
  UpdateWebhookRequestSchema,
  WebhookService,
} from '@dstc/contract/dstc/v1/webhook_service_pb';
import type { Caller } from './caller.ts';
import { dateOf } from './task.ts';
import { contractOf, definitionOf, type WebhookDefinition } from './webhook-definition.ts';

/** A webhook as it is. */
export interface Webhook extends WebhookDefinition {
  readonly id: string;
  readonly namespace: string;
  readonly etag: string;
  readonly creator: string;
  /** Why the coordinator disabled it; empty when it did not. */
  readonly disabledReason: string;
  readonly createTime: Date | undefined;
  readonly updateTime: Date | undefined;
  readonly status: WebhookStatus;
}

/** How a webhook fares at the moment of the answer. */
export interface WebhookStatus {
  /** Whether requests are sent to it. */
  readonly circuit: keyof typeof WebhookCircuitState;
  /** Failures since the last success. */
  readonly failures: number;
  /** Of an open circuit: when one request tries the endpoint again. */
  readonly probeTime: Date | undefined;
  readonly lastSuccessTime: Date | undefined;
  readonly lastFailureTime: Date | undefined;
  readonly lastFailure: string;
  /** Deliveries that wait and that were given up, counted up to 10,000; zero in lists, where they are not counted. */
  readonly pending: number;
  readonly deadLetters: number;
  /** Until when requests are signed with the secret of before, too. */
  readonly previousSecretExpireTime: Date | undefined;
}

export type WebhookDeliveryState = keyof typeof ContractDeliveryState;

/** One event for one webhook. */
export interface WebhookDelivery {
  readonly eventId: string;
  readonly eventType: string;
  readonly state: WebhookDeliveryState;
  readonly attempts: number;
  readonly createTime: Date | undefined;
  readonly lastAttemptTime: Date | undefined;
  /** Of one that waits. */
  readonly nextAttemptTime: Date | undefined;
  /** Of the last answer; undefined when there was none. */
  readonly responseStatus: number | undefined;
  readonly durationMs: number | undefined;
  readonly error: string;
  /** What its task is called in the other product; empty in most formats. */
  readonly externalId: string;
}

export interface WebhookTest {
  readonly succeeded: boolean;
  readonly responseStatus: number | undefined;
  readonly durationMs: number;
  readonly error: string;
  readonly eventId: string;
}

/** Deliveries to be sent again: one, all dead letters, or all that ended and were made since a time. */
export type WebhookReplay = { readonly eventId: string } | { readonly deadLetters: true } | { readonly since: Date };

export interface Webhooks {
  /** The secret is shown this once; requests are signed with it. */
  create(definition: WebhookDefinition): Promise<Webhook & { readonly secret: string }>;
  /** Replaces what people set; with an etag only that version. */
  update(id: string, definition: WebhookDefinition & { readonly etag?: string | undefined }): Promise<Webhook>;
  get(id: string): Promise<Webhook>;
  /** Oldest first, page by page. */
  list(): AsyncIterable<Webhook>;
  delete(id: string, options?: { readonly etag?: string | undefined }): Promise<void>;
  /** Another secret; the old one is good for the overlap, a day when it is left out. */
  rotateSecret(id: string, options?: { readonly overlapMs?: number | undefined }): Promise<{ readonly secret: string }>;
  /** Sends one event that says that it is a test, and tells what the endpoint answered. */
  test(id: string): Promise<WebhookTest>;
  /** Newest first, page by page. */
  deliveries(
    id: string,
    options?: { readonly states?: readonly Exclude<WebhookDeliveryState, 'UNSPECIFIED'>[] | undefined },
  ): AsyncIterable<WebhookDelivery>;
  /** Answers with how many there were. */
  replay(id: string, which: WebhookReplay): Promise<number>;
}

export function createWebhooks(caller: Caller, namespace: string): Webhooks {
  const { method } = WebhookService;
  // A retry after a lost answer would make another one, or find that it was done already.
  const once = { retriable: false };
  return {
    async create(definition) {
      const request = create(CreateWebhookRequestSchema, { webhook: { ...contractOf(definition), namespace } });
      const { webhook, secret } = await caller.unary(method.createWebhook, request, once);
      return { ...webhookOf(webhook), secret };
    },
    async update(id, { etag = '', ...definition }) {
      const webhook = { ...contractOf(definition), namespace, id, etag };
      const request = create(UpdateWebhookRequestSchema, { webhook });
      const answer = await caller.unary(method.updateWebhook, request, { retriable: etag === '' });
      return webhookOf(answer.webhook);
    },
    async get(id) {
      const request = create(GetWebhookRequestSchema, { namespace, id });
      return webhookOf((await caller.unary(method.getWebhook, request)).webhook);
    },
    async *list() {
      let pageToken = '';
      do {
        const request = create(ListWebhooksRequestSchema, { namespace, pageToken });
        const page = await caller.unary(method.listWebhooks, request);
        yield* page.webhooks.map(webhookOf);
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
    },
    async delete(id, { etag = '' } = {}) {
      await caller.unary(method.deleteWebhook, create(DeleteWebhookRequestSchema, { namespace, id, etag }), once);
    },
    async rotateSecret(id, { overlapMs } = {}) {
      const overlap = overlapMs === undefined ? {} : { overlap: durationFromMs(overlapMs) };
      const request = create(RotateWebhookSecretRequestSchema, { namespace, id, ...overlap });
      const { secret } = await caller.unary(method.rotateWebhookSecret, request, once);
      return { secret };
    },
    async test(id) {
      const answer = await caller.unary(method.testWebhook, create(TestWebhookRequestSchema, { namespace, id }), once);
      const { succeeded, error, eventId, responseStatus, duration } = answer;
      const took = duration === undefined ? 0 : durationMs(duration);
      return { succeeded, error, eventId, responseStatus: responseStatus || undefined, durationMs: took };
    },
    async *deliveries(id, { states = [] } = {}) {
      let pageToken = '';
      do {
        const wanted = states.map((state) => ContractDeliveryState[state]);
        const request = create(ListWebhookDeliveriesRequestSchema, { namespace, id, states: wanted, pageToken });
        const page = await caller.unary(method.listWebhookDeliveries, request);
        yield* page.deliveries.map(deliveryOf);
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
    },
    async replay(id, which) {
      let replayed = 0;
      let pageToken = '';
      do {
        const request = create(ReplayWebhookDeliveriesRequestSchema, {
          namespace,
          id,
          which: whichOf(which),
          pageToken,
        });
        const answer = await caller.unary(method.replayWebhookDeliveries, request);
        replayed += answer.replayed;
        pageToken = answer.nextPageToken;
      } while (pageToken !== '');
      return replayed;
    },
  };
}

function whichOf(which: WebhookReplay) {
  if ('eventId' in which) return { case: 'eventId', value: which.eventId } as const;
  if ('since' in which) return { case: 'since', value: timestampFromDate(which.since) } as const;
  return { case: 'deadLetters', value: true } as const;
}

const circuitStates = {
  [WebhookCircuitState.UNSPECIFIED]: 'UNSPECIFIED',
  [WebhookCircuitState.CLOSED]: 'CLOSED',
  [WebhookCircuitState.OPEN]: 'OPEN',
  [WebhookCircuitState.HALF_OPEN]: 'HALF_OPEN',
} as const satisfies Record<WebhookCircuitState, WebhookStatus['circuit']>;

const deliveryStates = {
  [ContractDeliveryState.UNSPECIFIED]: 'UNSPECIFIED',
  [ContractDeliveryState.PENDING]: 'PENDING',
  [ContractDeliveryState.SUCCEEDED]: 'SUCCEEDED',
  [ContractDeliveryState.DEAD_LETTER]: 'DEAD_LETTER',
} as const satisfies Record<ContractDeliveryState, WebhookDeliveryState>;

function webhookOf(webhook: ContractWebhook | undefined): Webhook {
  if (webhook === undefined) throw new Error('the coordinator answered without a webhook');
  const { id, namespace, etag, creator, disabledReason, status } = webhook;
  return {
    ...{ id, namespace },
    ...definitionOf(webhook),
    ...{ etag, creator, disabledReason },
    createTime: dateOf(webhook.createTime),
    updateTime: dateOf(webhook.updateTime),
    status: {
      circuit: circuitStates[status?.circuit ?? WebhookCircuitState.UNSPECIFIED],
      failures: status?.failures ?? 0,
      probeTime: dateOf(status?.probeTime),
      lastSuccessTime: dateOf(status?.lastSuccessTime),
      lastFailureTime: dateOf(status?.lastFailureTime),
      lastFailure: status?.lastFailure ?? '',
      pending: status?.pending ?? 0,
      deadLetters: status?.deadLetters ?? 0,
      previousSecretExpireTime: dateOf(status?.previousSecretExpireTime),
    },
  };
}

function deliveryOf(delivery: ContractDelivery): WebhookDelivery {
  const { eventId, eventType, attempts, error, externalId, responseStatus, duration } = delivery;
  return {
    ...{ eventId, eventType, state: deliveryStates[delivery.state], attempts },
    createTime: dateOf(delivery.createTime),
    lastAttemptTime: dateOf(delivery.lastAttemptTime),
    nextAttemptTime: dateOf(delivery.nextAttemptTime),
    responseStatus: responseStatus || undefined,
    durationMs: duration && durationMs(duration),
    ...{ error, externalId },
  };
}
