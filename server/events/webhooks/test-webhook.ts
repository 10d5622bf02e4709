import { randomUUID } from 'node:crypto';
import { DstcError, webhookNotFound } from '../../domain/errors.ts';
import { limits } from '../../domain/limits.ts';
import type { Database } from '../../store/database.ts';
import { type Endpoint, selectEndpoint } from '../../store/endpoint.ts';
import { testEventType } from './event-facts.ts';
import type { SendDelivery } from './send-delivery.ts';

/** What became of a test. */
export interface TestResult {
  readonly eventId: string;
  readonly isTaken: boolean;
  readonly status: number | null;
  readonly durationMs: number;
  /** Empty when nothing was wrong. */
  readonly error: string;
}

/** Sends a webhook one event that says that it is a test. Rejects with `OVERLOADED` while too many are under way. */
export type TestWebhook = (id: string, actor: string) => Promise<TestResult>;

export function createTestWebhook(
  deps: { readonly database: Database; readonly send: SendDelivery },
  { cell }: { readonly cell: string },
): TestWebhook {
  const never = new AbortController().signal;
  let underWay = 0;
  return async (id, actor) => {
    if (underWay >= limits.webhookTestsMax) {
      throw new DstcError('OVERLOADED', 'too many tests of webhooks are under way; try again later', {
        metadata: { limit: String(limits.webhookTestsMax) },
        retryDelayMs: 2_000,
      });
    }
    underWay += 1;
    const eventId = randomUUID();
    try {
      const endpoint = await deps.database.run((sql) => selectEndpoint(sql, id));
      if (endpoint === undefined) throw webhookNotFound(id);
      const event = testEvent(endpoint, { eventId, actor, cell });
      const startMs = performance.now();
      const outcome = await deps.send({ endpoint, eventId, event, externalId: null }, never);
      return {
        eventId,
        isTaken: outcome.is === 'taken',
        status: outcome.status,
        durationMs: performance.now() - startMs,
        error: outcome.is === 'taken' ? outcome.remark : outcome.error,
      };
    } finally {
      underWay -= 1;
    }
  };
}

function testEvent(
  webhook: Endpoint,
  { eventId, actor, cell }: { readonly eventId: string; readonly actor: string; readonly cell: string },
): string {
  return JSON.stringify({
    specversion: '1.0',
    id: eventId,
    type: testEventType,
    source: `/cells/${cell}`,
    subject: webhook.id,
    time: new Date(webhook.readMs).toISOString(),
    namespace: webhook.namespace,
    actor,
    datacontenttype: 'application/json',
    data: {},
  });
}
