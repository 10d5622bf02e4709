import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '@dstc/contract/dstc/v1/webhook_service_pb';
import type { Caller } from '../../auth/caller.ts';
import type { Permission } from '../../auth/permission.ts';
import { fieldInvalid, webhookNotFound } from '../../domain/errors.ts';
import { limits } from '../../domain/limits.ts';
import { webhookDeliveryStates } from '../../domain/webhook.ts';
import { operationsNamedBy, scopeOf } from '../../events/webhooks/listening.ts';
import type { TestWebhook } from '../../events/webhooks/test-webhook.ts';
import type { Webhooks, Which } from '../../events/webhooks/webhooks.ts';
import type { Database } from '../../store/database.ts';
import { countDeliveries, selectDeliveries } from '../../store/list-deliveries.ts';
import { selectWebhook, selectWebhooks, type WebhookRow } from '../../store/webhooks.ts';
import { callerOf } from '../context.ts';
import { deliveryPositionOf, toDeliveryPosition } from '../convert/delivery-position.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { pageSizeOf, positionOf, positions, toPageToken } from '../convert/page-token.ts';
import { replayOf } from '../convert/replay.ts';
import { optionalMs, toDuration } from '../convert/time.ts';
import { deliveryStateOf, filterOf, toWebhook, toWebhookDelivery, webhookSettingsOf } from '../convert/webhook.ts';

export interface WebhookServiceDeps {
  readonly database: Database;
  readonly webhooks: Webhooks;
  readonly testWebhook: TestWebhook;
}

export function webhookService(deps: WebhookServiceDeps): ServiceImpl<typeof WebhookService> {
  const { database, webhooks, testWebhook } = deps;

  /** The webhook that a request names, if the caller may see it. */
  async function found(request: NamedWebhook, context: HandlerContext): Promise<WebhookRow> {
    const which = whichOf(request, context);
    const row = await database.query((orm) => selectWebhook(orm, which));
    if (row === undefined || !which.maySee(row)) throw webhookNotFound(request.id);
    return row;
  }

  return {
    async createWebhook({ webhook }, context) {
      if (webhook === undefined) throw fieldInvalid('webhook', 'is required');
      if (webhook.id !== '') throw fieldInvalid('webhook.id', 'is set by the coordinator');
      const caller = callerOf(context);
      const settings = webhookSettingsOf(webhook);
      requireRight(caller, settings);
      const { row, secret } = await webhooks.create(settings, caller.principal.actor);
      return { webhook: toWebhook(row), secret };
    },

    async updateWebhook({ webhook }, context) {
      if (webhook === undefined) throw fieldInvalid('webhook', 'is required');
      if (webhook.id === '') throw fieldInvalid('webhook.id', 'is required');
      // What the caller may not see is not there, whatever else is wrong.
      await found(webhook, context);
      const settings = webhookSettingsOf(webhook);
      requireRight(callerOf(context), settings);
      const row = await webhooks.update(whichOf(webhook, context), settings, webhook.etag || undefined);
      return { webhook: toWebhook(row) };
    },

    async getWebhook(request, context) {
      const row = await found(request, context);
      const of = { webhookId: row.id, scope: scopeOf(row) };
      const counts = await database.run((sql) => countDeliveries(sql, of, limits.webhookCountMax));
      return { webhook: toWebhook(row, counts) };
    },

    async listWebhooks(request, context) {
      const caller = callerOf(context);
      const namespace = namespaceOf(request);
      const list = ['webhooks', namespace];
      const size = pageSizeOf(request.pageSize, limits.webhookPageSizeDefault);
      const after = positionOf(list, request.pageToken, positions.id) ?? '';
      const rows = await database.query((orm) => selectWebhooks(orm, namespace));
      const seen = rows.filter((row) => row.id > after && hasRight(caller, row));
      const last = seen.length > size ? seen[size - 1] : undefined;
      return {
        webhooks: seen.slice(0, size).map((row) => toWebhook(row)),
        nextPageToken: last === undefined ? '' : toPageToken(list, last.id),
      };
    },

    async deleteWebhook(request, context) {
      await webhooks.delete(whichOf(request, context), request.etag || undefined);
      return {};
    },

    async rotateWebhookSecret(request, context) {
      const overlapMs = optionalMs('overlap', request.overlap) ?? limits.webhookSecretOverlapMsDefault;
      const { row, secret } = await webhooks.rotate(whichOf(request, context), overlapMs);
      return { webhook: toWebhook(row), secret };
    },

    async testWebhook(request, context) {
      const { id } = await found(request, context);
      const result = await testWebhook(id, callerOf(context).principal.actor);
      return {
        succeeded: result.isTaken,
        responseStatus: result.status ?? 0,
        duration: toDuration(Math.round(result.durationMs)),
        error: result.error,
        eventId: result.eventId,
      };
    },

    async listWebhookDeliveries(request, context) {
      const webhook = await found(request, context);
      const webhookId = webhook.id;
      const states = [...new Set(request.states.flatMap((state) => deliveryStateOf[state] ?? []))].sort();
      const list = ['webhook deliveries', webhookId, states];
      const size = pageSizeOf(request.pageSize, limits.webhookDeliveryPageSizeDefault);
      const after = deliveryPositionOf(list, request.pageToken);
      const filter = {
        ...{ webhookId, scope: scopeOf(webhook) },
        states: states.length === 0 ? webhookDeliveryStates : states,
      };
      const rows = await database.run((sql) => selectDeliveries(sql, filter, { after, size: size + 1 }));
      const last = rows.length > size ? rows[size - 1] : undefined;
      return {
        deliveries: rows.slice(0, size).map(toWebhookDelivery),
        nextPageToken: last === undefined ? '' : toDeliveryPosition(list, last),
      };
    },

    async replayWebhookDeliveries(request, context) {
      const row = await found(request, context);
      const replay = replayOf(request);
      const list = ['webhook replay', row.id, replay];
      const after = deliveryPositionOf(list, request.pageToken);
      const { replayed, next } = await webhooks.replay(row, replay, { after, size: limits.webhookReplayMax });
      return { replayed, nextPageToken: next === undefined ? '' : toDeliveryPosition(list, next) };
    },
  };
}

interface NamedWebhook {
  readonly namespace: string;
  readonly id: string;
}

function whichOf(request: NamedWebhook, context: HandlerContext): Which {
  const caller = callerOf(context);
  return {
    namespace: namespaceOf(request),
    id: request.id.toLowerCase(),
    maySee: (row) => hasRight(caller, row),
  };
}

const permissionsNeeded = ['configure', 'read'] as const;

/** Whether the caller may have a webhook with this filter, and so see and change the one that has it. */
function hasRight(caller: Caller, { namespace, filter }: Pick<WebhookRow, 'namespace' | 'filter'>): boolean {
  const { taskTypes, types } = filterOf({ filter });
  const mayOnAll = (permission: Permission) => caller.typePatterns(permission, namespace).includes('*');
  return (
    permissionsNeeded.every((permission) =>
      taskTypes.length === 0
        ? mayOnAll(permission)
        : taskTypes.every((type) => caller.may(permission, namespace, type)),
    ) &&
    (operationsNamedBy(types).length === 0 || mayOnAll('operate'))
  );
}

/** Throws PERMISSION_MISSING unless `hasRight`. */
function requireRight(caller: Caller, { namespace, filter }: Pick<WebhookRow, 'namespace' | 'filter'>): void {
  const { taskTypes, types } = filterOf({ filter });
  for (const permission of permissionsNeeded) {
    if (taskTypes.length === 0) caller.requireOnAll(permission, namespace);
    for (const type of taskTypes) caller.require(permission, namespace, type);
  }
  if (operationsNamedBy(types).length > 0) caller.requireOnAll('operate', namespace);
}
