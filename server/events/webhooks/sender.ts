import type { Logger } from 'pino';
import { type ClaimedDelivery, claimDueDeliveries } from '../../store/claim-deliveries.ts';
import type { Database } from '../../store/database.ts';
import { createPause } from '../pause.ts';
import { factsOf } from './event-facts.ts';
import { isCovered } from './listening.ts';
import type { LeftOut, Outcome } from './outcome.ts';
import type { SendDelivery } from './send-delivery.ts';
import { endOf, recordSettlements, type Settlement } from './settlements.ts';

/** What became of the attempts of this node. */
export interface SenderCounts {
  readonly succeeded: number;
  readonly failed: number;
  /** Those of the failed ones after which no other attempt comes. */
  readonly deadLettered: number;
}

/** Sends what is due. Every node does; a delivery that a node has is no other's until its lease is over. */
export interface Sender {
  /** There may be something due. */
  readonly wake: () => void;
  readonly counts: () => SenderCounts;
  /** Requests under way, with those whose end is not recorded yet. */
  readonly sending: () => number;
  /** Lets what is under way end, though not for long; what does not is given back. */
  readonly stop: () => Promise<void>;
}

export interface SenderOptions {
  readonly sendingMax: number;
  readonly perEndpointMax: number;
  /** Of one namespace, for each place that is free. */
  readonly perFreePlaceMax: number;
  readonly leaseMs: number;
  readonly pollMs: number;
}

const failureMs = 250;
const stopMsMax = 2_000;

export function startSender(
  deps: { readonly database: Database; readonly send: SendDelivery; readonly log: Logger },
  options: SenderOptions,
): Sender {
  const { database, log } = deps;
  const pause = createPause();
  const stopping = new AbortController();
  const underWay = new Set<ClaimedDelivery>();
  const attempts = new Set<Promise<void>>();
  /** Webhooks that got as much as they may, so that an end makes room for more. */
  const full = new Set<string>();
  const counts = { succeeded: 0, failed: 0, deadLettered: 0 };
  let settled: Settlement[] = [];
  let recording: Promise<void> | undefined;
  let isStopping = false;

  const loop = keepClaiming();

  async function keepClaiming(): Promise<void> {
    while (!isStopping) {
      const claimed = await claim().catch((error: unknown) => {
        log.warn({ err: error }, 'due deliveries were not claimed; another look follows');
        return failureMs;
      });
      if (!isStopping && claimed > 0) await pause.forMs(claimed);
    }
  }

  /** Claims once; answers with how long there is time for the next look. */
  async function claim(): Promise<number> {
    const deliveriesMax = options.sendingMax - underWay.size;
    if (deliveriesMax <= 0) return options.pollMs;
    const sending = countBy(underWay, webhookOf);
    const { perEndpointMax: perWebhookMax, perFreePlaceMax, leaseMs } = options;
    const claimed = await database.run((sql) =>
      claimDueDeliveries(sql, { deliveriesMax, perWebhookMax, perFreePlaceMax, sending, leaseMs }),
    );
    for (const delivery of claimed) {
      underWay.add(delivery);
      const attempt = deliver(delivery).finally(() => attempts.delete(attempt));
      attempts.add(attempt);
    }
    for (const [id, count] of countBy(underWay, webhookOf)) if (count >= perWebhookMax) full.add(id);
    // Probes may have left something out although there is room.
    return claimed.length > 0 && underWay.size < options.sendingMax ? 0 : options.pollMs;
  }

  async function deliver(delivery: ClaimedDelivery): Promise<void> {
    const startMs = performance.now();
    const outcome = await outcomeOf(delivery);
    settled.push({ delivery, outcome, durationMs: performance.now() - startMs });
    recording ??= recordAll();
  }

  async function outcomeOf(delivery: ClaimedDelivery): Promise<Outcome | LeftOut | undefined> {
    try {
      if (!isCovered(delivery, factsOf(delivery.event))) return { is: 'left out' };
      return await deps.send(delivery, stopping.signal);
    } catch (error) {
      if (stopping.signal.aborted) return undefined;
      log.error({ err: error, webhook: delivery.webhookId, event: delivery.eventId }, 'a delivery failed unexpectedly');
      return { is: 'failed', status: null, error: 'internal error of the coordinator', retryAfterMs: 0 };
    }
  }

  /** What ends while one batch is recorded is the next batch. */
  async function recordAll(): Promise<void> {
    // What ends in this turn of the event loop goes together.
    await new Promise(setImmediate);
    while (settled.length > 0) {
      const batch = settled;
      settled = [];
      try {
        await recordSettlements(deps, batch);
        for (const settlement of batch) count(settlement);
      } catch (error) {
        log.warn({ err: error }, 'ends of deliveries were not recorded');
        if (isStopping) break;
        // Nothing is lost: when this goes on for too long, the deliveries are sent again.
        settled.unshift(...batch);
        await new Promise((resolve) => setTimeout(resolve, failureMs));
        continue;
      }
      free(batch);
    }
    recording = undefined;
  }

  function free(batch: readonly Settlement[]): void {
    let makesRoom = isAtBound();
    for (const { delivery, outcome } of batch) {
      underWay.delete(delivery);
      makesRoom = full.delete(delivery.webhookId) || makesRoom;
      // The next one of its task may have waited for it.
      makesRoom ||= delivery.threadId !== null;
      // So has the next one of a webhook whose circuit is open.
      makesRoom ||= delivery.isProbe && outcome?.is === 'left out';
    }
    if (makesRoom) pause.end();
  }

  /** Whether there is a namespace that gets no place until something ends, its own or another's. */
  function isAtBound(): boolean {
    const most = Math.max(0, ...countBy(underWay, namespaceOf).values());
    return most + 1 > options.perFreePlaceMax * (options.sendingMax - underWay.size);
  }

  function count(settlement: Settlement): void {
    if (settlement.outcome === undefined || settlement.outcome.is === 'left out') return;
    if (settlement.outcome.is === 'taken') counts.succeeded += 1;
    else counts.failed += 1;
    if (endOf(settlement).state === 'DEAD_LETTER') counts.deadLettered += 1;
  }

  return {
    wake: pause.end,
    counts: () => ({ ...counts }),
    sending: () => underWay.size,
    async stop() {
      isStopping = true;
      pause.end();
      await loop;
      const timer = setTimeout(() => stopping.abort(new Error('this node stops')), stopMsMax);
      await Promise.all(attempts);
      clearTimeout(timer);
      await recording;
    },
  };
}

const webhookOf = ({ webhookId }: ClaimedDelivery): string => webhookId;
const namespaceOf = ({ endpoint }: ClaimedDelivery): string => endpoint.namespace;

function countBy(
  deliveries: Iterable<ClaimedDelivery>,
  keyOf: (delivery: ClaimedDelivery) => string,
): Map<string, number> {
  const counts = new Map<string, number>();
  for (const delivery of deliveries) counts.set(keyOf(delivery), (counts.get(keyOf(delivery)) ?? 0) + 1);
  return counts;
}
