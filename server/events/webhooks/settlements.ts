import type { Logger } from 'pino';
import { webhookRetry } from '../../domain/limits.ts';
import { retryDelayMs } from '../../domain/retry.ts';
import { afterFailures } from '../../domain/webhook-circuit.ts';
import type { ClaimedDelivery } from '../../store/claim-deliveries.ts';
import type { Database, Sql } from '../../store/database.ts';
import {
  type DeliveryEnd,
  type Failing,
  giveBackProbes,
  lockHealth,
  nameReferences,
  settleClaimedDeliveries,
  storeFailures,
  storeSuccesses,
} from '../../store/settle-deliveries.ts';
import type { Failure, LeftOut, Outcome } from './outcome.ts';

/** What became of a claimed delivery. */
export interface Settlement {
  readonly delivery: ClaimedDelivery;
  /** Undefined when it was not tried to the end, because this node stops. */
  readonly outcome: Outcome | LeftOut | undefined;
  readonly durationMs: number;
}

/** Records settlements, with what follows for their webhooks, in one transaction. */
export async function recordSettlements(
  deps: { readonly database: Database; readonly log: Logger },
  settlements: readonly Settlement[],
): Promise<void> {
  const changes = await deps.database.transaction(async (sql) => {
    await settleClaimedDeliveries(sql, settlements.map(endOf));
    const names = settlements.flatMap(nameOf);
    if (names.length > 0) await nameReferences(sql, names);
    return storeHealth(sql, settlements);
  });
  for (const { id, openMs, failures, failure, disabledReason } of changes) {
    const about = { webhook: id, failures, failure };
    if (disabledReason !== null) deps.log.warn({ ...about, reason: disabledReason }, 'a webhook was disabled');
    else if (openMs !== null) deps.log.warn({ ...about, openMs }, 'the circuit of a webhook is open');
  }
}

const leftOut = 'the filter of the webhook does not cover it any more';

/** How a delivery goes on after an attempt. */
export function endOf({ delivery, outcome, durationMs }: Settlement): DeliveryEnd {
  const { webhookId, eventId, attempts } = delivery;
  const end = {
    ...{ webhookId, eventId, attempts, delayMs: 0, isGivenBack: false },
    durationMs: Math.round(durationMs),
  };
  switch (outcome?.is) {
    case undefined:
      return { ...end, state: 'PENDING', isGivenBack: true, responseStatus: null, durationMs: null, error: '' };
    case 'taken':
      return { ...end, state: 'SUCCEEDED', responseStatus: outcome.status, error: outcome.remark };
    case 'gone':
      // Its webhook is disabled, and it is sent when people enable that again.
      return { ...end, state: 'PENDING', responseStatus: outcome.status, error: outcome.error };
    case 'left out':
      return { ...end, state: 'DEAD_LETTER', responseStatus: null, durationMs: null, error: leftOut };
    case 'failed': {
      const isOver = attempts >= webhookRetry.attemptsMax;
      const delayMs = Math.max(retryDelayMs(webhookRetry, attempts, Math.random()), outcome.retryAfterMs);
      const { status: responseStatus, error } = outcome;
      return { ...end, state: isOver ? 'DEAD_LETTER' : 'PENDING', delayMs, responseStatus, error };
    }
  }
}

function nameOf({ delivery, outcome }: Settlement) {
  if (outcome?.is !== 'taken' || outcome.externalId === null || delivery.threadId === null) return [];
  return [{ webhookId: delivery.webhookId, taskId: delivery.threadId, externalId: outcome.externalId }];
}

async function storeHealth(sql: Sql, settlements: readonly Settlement[]): Promise<readonly Failing[]> {
  const seen = [...Map.groupBy(settlements, ({ delivery }) => delivery.webhookId)].map(([id, of]) => seenOf(id, of));
  const well = seen.filter(({ succeeds, isGone }) => succeeds && !isGone);
  const ill = new Map(
    seen.flatMap((webhook) =>
      webhook.count > 0 && (!webhook.succeeds || webhook.isGone) ? [[webhook.id, webhook]] : [],
    ),
  );
  const untried = seen.filter(({ hasUntriedProbe }) => hasUntriedProbe);
  if (well.length + ill.size + untried.length === 0) return [];
  const locked = await lockHealth(sql, {
    succeeding: well.map(({ id }) => id),
    others: [...ill.keys(), ...untried.map(({ id }) => id)],
  });
  const isLocked = ({ id }: { readonly id: string }) => locked.some((health) => health.id === id);
  const given = untried.filter(isLocked).map(({ id }) => id);
  if (given.length > 0) await giveBackProbes(sql, given);
  const better = well.filter(isLocked).map(({ id }) => id);
  if (better.length > 0) await storeSuccesses(sql, better);
  const failing = locked.flatMap((health): Failing[] => {
    const webhook = ill.get(health.id);
    if (webhook === undefined) return [];
    const { failures, openings, openMs, isHopeless } = afterFailures(health, webhook);
    const disabledReason = webhook.isGone
      ? 'the endpoint answered with 410 Gone'
      : isHopeless
        ? 'the endpoint has failed for three days'
        : null;
    return [{ id: health.id, failures, openings, openMs, failure: webhook.failure, disabledReason }];
  });
  if (failing.length > 0) await storeFailures(sql, failing);
  return failing;
}

/** What the settlements of one webhook say of it. */
function seenOf(id: string, settlements: readonly Settlement[]) {
  const failed = settlements.flatMap(({ delivery, outcome }): { isProbe: boolean; failure: Failure }[] =>
    outcome?.is === 'failed' || outcome?.is === 'gone' ? [{ isProbe: delivery.isProbe, failure: outcome }] : [],
  );
  return {
    id,
    succeeds: settlements.some(({ outcome }) => outcome?.is === 'taken'),
    isGone: failed.some(({ failure }) => failure.is === 'gone'),
    count: failed.length,
    hasProbe: failed.some(({ isProbe }) => isProbe),
    hasUntriedProbe: settlements.some(({ delivery, outcome }) => delivery.isProbe && outcome?.is === 'left out'),
    retryAfterMs: Math.max(0, ...failed.map(({ failure }) => (failure.is === 'failed' ? failure.retryAfterMs : 0))),
    failure: failed.at(-1)?.failure.error ?? '',
  };
}
