import { randomUUID } from 'node:crypto';
import { DstcError, fieldInvalid, webhookNotFound } from '../../domain/errors.ts';
import { limits } from '../../domain/limits.ts';
import type { WebhookFormat } from '../../domain/webhook.ts';
import type { Database } from '../../store/database.ts';
import type { DeliveryPosition } from '../../store/list-deliveries.ts';
import { type ReplayedPage, replayDelivery, replayEndedDeliveries } from '../../store/replay-deliveries.ts';
import {
  deleteLockedWebhook,
  insertWebhookBelow,
  lockWebhook,
  rotateLockedSecret,
  updateLockedWebhook,
  type WebhookRow,
  type WebhookSettings,
} from '../../store/webhooks.ts';
import { checkHeaders, checkUrl, type EndpointRules } from './endpoint-rules.ts';
import { checkFilter } from './filter-rules.ts';
import { scopeOf } from './listening.ts';
import { checkPlaceholders } from './placeholders.ts';
import { newSecret, secretText } from './signature.ts';

/** Which webhook, and whether the caller may see one; one that is foreign is not there. */
export interface Which {
  readonly namespace: string;
  readonly id: string;
  readonly maySee: (webhook: WebhookRow) => boolean;
}

export interface MadeSecret {
  readonly row: WebhookRow;
  /** Shown this once. */
  readonly secret: string;
}

/** Deliveries to be sent again. */
export type Replay =
  | { readonly of: 'event'; readonly eventId: string }
  | { readonly of: 'dead letters' }
  | { readonly of: 'since'; readonly since: Date };

/** What people do with webhooks. All but `create` reject with `WEBHOOK_NOT_FOUND`. */
export interface Webhooks {
  readonly create: (settings: WebhookSettings, creator: string) => Promise<MadeSecret>;
  /** Secrets that are empty stay as they are. Rejects with `ETAG_MISMATCH` for an etag that is not the current one. */
  readonly update: (which: Which, settings: WebhookSettings, etag: string | undefined) => Promise<WebhookRow>;
  readonly delete: (which: Which, etag: string | undefined) => Promise<void>;
  readonly rotate: (which: Which, overlapMs: number) => Promise<MadeSecret>;
  /** Of a webhook that the caller may see, what its filter covers. */
  readonly replay: (
    webhook: Pick<WebhookRow, 'id' | 'filter'>,
    replay: Replay,
    page: { readonly after: DeliveryPosition | undefined; readonly size: number },
  ) => Promise<ReplayedPage>;
}

export function createWebhooks(deps: {
  readonly database: Database;
  readonly rules: EndpointRules;
  /** Called when something may be due. */
  readonly wake: () => void;
}): Webhooks {
  const { database, rules, wake } = deps;

  /** Changes a webhook that nobody else changes meanwhile. */
  function change<Result>(
    which: Which,
    call: (orm: Parameters<typeof lockWebhook>[0], locked: WebhookRow) => Promise<Result>,
  ): Promise<Result> {
    return database.transaction(async (_sql, orm) => {
      const locked = await lockWebhook(orm, which);
      if (locked === undefined || !which.maySee(locked)) throw webhookNotFound(which.id);
      return call(orm, locked);
    });
  }

  return {
    async create(settings, creator) {
      checkSettings(rules, settings);
      requireSecrets(settings, notSet);
      const secret = newSecret();
      const made = { secret, etag: randomUUID(), creator };
      const row = await database.transaction((_sql, orm) =>
        insertWebhookBelow(orm, limits.webhooksPerNamespaceMax, settings, made),
      );
      if (row === undefined) throw limitReached(settings.namespace);
      return { row, secret: secretText(secret) };
    },

    async update(which, settings, etag) {
      checkSettings(rules, settings);
      const row = await change(which, (orm, locked) => {
        requireEtag(locked, etag);
        return updateLockedWebhook(orm, locked, withKeptSecrets(settings, locked), randomUUID());
      });
      wake();
      return row;
    },

    delete: (which, etag) =>
      change(which, async (orm, locked) => {
        requireEtag(locked, etag);
        await deleteLockedWebhook(orm, locked);
      }),

    async rotate(which, overlapMs) {
      const secret = newSecret();
      const row = await change(which, (orm, locked) =>
        rotateLockedSecret(orm, locked, { secret, overlapMs, previousMax: limits.webhookPreviousSecretsMax }),
      );
      return { row, secret: secretText(secret) };
    },

    async replay({ id: webhookId, filter }, replay, page) {
      const scope = scopeOf({ filter });
      const replayed = await database.run(async (sql) => {
        if (replay.of === 'event') {
          const isThere = await replayDelivery(
            sql,
            { webhookId, scope, eventId: replay.eventId },
            limits.webhookPendingMsMax,
          );
          return isThere ? { replayed: 1, next: undefined } : undefined;
        }
        const which =
          replay.of === 'since'
            ? { webhookId, scope, states: ['SUCCEEDED', 'DEAD_LETTER'] as const, since: replay.since }
            : { webhookId, scope, states: ['DEAD_LETTER'] as const, since: undefined };
        return replayEndedDeliveries(sql, which, page, limits.webhookPendingMsMax);
      });
      if (replayed === undefined) throw deliveryNotFound(webhookId, replay);
      if (replayed.replayed > 0) wake();
      return replayed;
    },
  };
}

function checkSettings(rules: EndpointRules, settings: WebhookSettings): void {
  const { url, headers, secretHeaders, format } = settings;
  checkFilter(settings);
  checkUrl(rules, url);
  checkHeaders(headers, secretHeaders);
  if (format.kind === 'github_actions') checkPlaceholders('webhook.github_actions.inputs', format.inputs);
  if (format.kind === 'gitlab_pipeline') checkPlaceholders('webhook.gitlab_pipeline.variables', format.variables);
}

const notSet = 'is not set';

function requireSecrets({ secretHeaders, format }: WebhookSettings, problem: string): void {
  for (const [name, value] of Object.entries(secretHeaders)) {
    if (value === '') throw fieldInvalid(`webhook.secret_headers[${JSON.stringify(name)}]`, problem);
  }
  if (format.kind === 'gitlab_pipeline' && format.token === '') {
    throw fieldInvalid('webhook.gitlab_pipeline.token', problem);
  }
}

/**
 * Settings whose empty secrets are those that are stored. Not with another URL: whoever may change a webhook could have its
 * secrets sent to a place of his own, which on a host of many customers is another path or query.
 */
function withKeptSecrets(settings: WebhookSettings, stored: WebhookRow): WebhookSettings {
  const isSameUrl = new URL(settings.url).href === new URL(stored.url).href;
  const kept = isSameUrl ? stored : { secretHeaders: {}, format: { kind: 'cloud_event' } as const };
  const storedHeaders = new Map(Object.entries(kept.secretHeaders).map(([name, value]) => [name.toLowerCase(), value]));
  const secretHeaders = Object.fromEntries(
    Object.entries(settings.secretHeaders).map(([name, value]) => [
      name,
      value === '' ? (storedHeaders.get(name.toLowerCase()) ?? '') : value,
    ]),
  );
  const whole = { ...settings, secretHeaders, format: withKeptToken(settings.format, kept.format) };
  requireSecrets(whole, isSameUrl ? notSet : 'must be given anew with another URL');
  return whole;
}

function withKeptToken(format: WebhookFormat, stored: WebhookFormat): WebhookFormat {
  if (format.kind !== 'gitlab_pipeline' || stored.kind !== 'gitlab_pipeline' || format.token !== '') return format;
  return { ...format, token: stored.token };
}

function requireEtag({ id, etag }: WebhookRow, expected: string | undefined): void {
  if (expected === undefined || expected === etag) return;
  throw new DstcError('ETAG_MISMATCH', `webhook ${id} is not at the etag you sent; read it again`, {
    metadata: { webhook_id: id },
  });
}

function limitReached(namespace: string): DstcError {
  const limit = limits.webhooksPerNamespaceMax;
  return new DstcError('LIMIT_REACHED', `namespace ${namespace} has ${limit} webhooks, which is as many as it may`, {
    metadata: { namespace, limit: String(limit) },
  });
}

function deliveryNotFound(webhookId: string, replay: Replay): DstcError {
  const eventId = replay.of === 'event' ? replay.eventId : '';
  return new DstcError('WEBHOOK_NOT_FOUND', `webhook ${webhookId} has no delivery of event ${eventId}`, {
    metadata: { webhook_id: webhookId, event_id: eventId },
  });
}
