import { positionBefore } from '../../domain/event-position.ts';
import { eventIdOf, eventTypeOf } from '../../doors/convert/event.ts';
import type { Database } from '../../store/database.ts';
import {
  insertNewDeliveries,
  insertNewReferences,
  type NewDelivery,
  type Reference,
  selectReferences,
} from '../../store/insert-deliveries.ts';
import type { StoredEvent } from '../../store/select-events.ts';
import { type ListeningWebhook, selectEndUnlessListening, selectListeningWebhooks } from '../../store/webhooks.ts';
import { structuredEvent } from '../cloud-event.ts';
import type { EventConsumer } from '../shard-reader.ts';
import { kindOf } from './event-facts.ts';
import { keepsThreads } from './formats/formats.ts';
import { issueFollowUps, opensIssue } from './formats/issue-step.ts';
import { createIsFor } from './listening.ts';

export interface ConsumerOptions {
  /** The name of this installation. */
  readonly cell: string;
  readonly eventsMax: number;
  readonly batchMax: number;
  readonly pendingMsMax: number;
}

/**
 * Makes deliveries of events. A batch that comes again makes none twice. The webhooks are read after the events, so that
 * whoever was told that a webhook is there misses nothing that happens afterwards.
 */
export function createWebhookConsumer(
  deps: { readonly database: Database; readonly onMade: () => void },
  options: ConsumerOptions,
): EventConsumer {
  const { database, onMade } = deps;
  const isFor = createIsFor();

  async function make(deliveries: readonly NewDelivery[], opened: readonly Reference[]): Promise<void> {
    await database.transaction(async (sql) => {
      if (opened.length > 0) await insertNewReferences(sql, opened);
      await insertNewDeliveries(sql, deliveries, options.pendingMsMax);
    });
    onMade();
  }

  return {
    reader: 'webhooks',
    eventsMax: options.eventsMax,
    async unwantedBefore() {
      const end = await database.run(selectEndUnlessListening);
      return end && positionBefore(end.order, end.timeMs);
    },
    async deliver(_shard, events, signal) {
      const namespaces = [...new Set(events.map((event) => event.namespace))];
      const webhooks = await database.run((sql) => selectListeningWebhooks(sql, namespaces));
      if (webhooks.length === 0) return;
      const wanted = await wantedBy(database, webhooks, events, isFor);
      for (let from = 0; from < wanted.length; from += options.batchMax) {
        signal.throwIfAborted();
        const batch = wanted.slice(from, from + options.batchMax);
        const opened = batch.flatMap(({ thread }) => (thread?.does === 'open' ? thread.of : []));
        await make(
          batch.map((item) => deliveryOf(item, options.cell)),
          opened,
        );
      }
    },
  };
}

/** An event that a webhook is to get. */
interface Wanted {
  readonly webhook: ListeningWebhook;
  readonly event: StoredEvent;
  /** Of a format that opens something for a task. */
  readonly thread: Thread | undefined;
}

interface Thread {
  readonly of: Reference;
  readonly does: 'open' | 'follow';
}

/** In the order of the events. What follows up on a task counts only when something was opened for it. */
async function wantedBy(
  database: Database,
  webhooks: readonly ListeningWebhook[],
  events: readonly StoredEvent[],
  isFor: (webhook: ListeningWebhook, event: StoredEvent) => boolean,
): Promise<Wanted[]> {
  const wanted = events.flatMap((event) =>
    webhooks.flatMap((webhook): Wanted[] => {
      if (!isFor(webhook, event)) return [];
      if (!keepsThreads(webhook.format)) return [{ webhook, event, thread: undefined }];
      const thread = threadOf(webhook, event);
      return thread === undefined ? [] : [{ webhook, event, thread }];
    }),
  );
  const threads = wanted.flatMap(({ thread }) => thread ?? []);
  const opened = new Set(threads.flatMap(({ does, of }) => (does === 'open' ? keyOf(of) : [])));
  const asked = threads.flatMap(({ does, of }) => (does === 'follow' && !opened.has(keyOf(of)) ? of : []));
  if (asked.length > 0) {
    for (const reference of await database.run((sql) => selectReferences(sql, asked))) opened.add(keyOf(reference));
  }
  return wanted.filter(({ thread }) => thread === undefined || opened.has(keyOf(thread.of)));
}

function threadOf(webhook: ListeningWebhook, event: StoredEvent): Thread | undefined {
  const kind = kindOf({ type: eventTypeOf(event) });
  const of = { webhookId: webhook.id, taskId: event.position.subjectId };
  if (opensIssue(kind)) return { of, does: 'open' };
  return issueFollowUps.has(kind) ? { of, does: 'follow' } : undefined;
}

function keyOf({ webhookId, taskId }: Reference): string {
  return `${webhookId}/${taskId}`;
}

function deliveryOf({ webhook, event, thread }: Wanted, cell: string): NewDelivery {
  return {
    webhookId: webhook.id,
    eventId: eventIdOf(event),
    eventType: eventTypeOf(event),
    event: JSON.stringify(structuredEvent(event, cell)),
    threadId: thread?.of.taskId ?? null,
    sequence: event.position.sequence,
  };
}
