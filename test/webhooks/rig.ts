import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import postgres from 'postgres';
import { expect } from 'vitest';
import type { EventKind } from '../../server/domain/lifecycle.ts';
import { parseNetwork } from '../../server/events/webhooks/addresses.ts';
import { startWebhooks, type WebhookOptions, type WebhookParts } from '../../server/events/webhooks/start-webhooks.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import type { StoredTaskEvent } from '../../server/store/select-events.ts';
import type { WebhookSettings } from '../../server/store/webhooks.ts';
import { createTestDatabase } from '../setup/database.ts';
import { type HttpReceiver, startHttpReceiver } from '../setup/http-receiver.ts';

/** Nodes that do nothing but webhooks, on a database of their own. */
export interface WebhookRig {
  readonly sql: postgres.Sql;
  readonly database: Database;
  /** Starts another node. */
  readonly node: (options?: Partial<WebhookOptions>) => WebhookParts;
  readonly receiver: () => Promise<HttpReceiver>;
  /** Creates a webhook for everything; answers with its id and secret. */
  readonly create: (
    node: WebhookParts,
    url: string,
    settings?: Partial<WebhookSettings>,
  ) => Promise<{ readonly id: string; readonly secret: string }>;
  readonly delivery: (webhookId: string, eventId: string) => Promise<DeliveryRow>;
  /** Waits until all deliveries of a webhook are in this state. */
  readonly allIn: (webhookId: string, state: string) => Promise<void>;
  /** Waits until this many attempts of a webhook have been recorded. */
  readonly recorded: (webhookId: string, count: number) => Promise<void>;
  readonly webhook: (id: string) => Promise<postgres.Row>;
  /** Makes everything due that waits. */
  readonly hasten: (webhookId: string) => Promise<void>;
  readonly stop: () => Promise<void>;
}

interface DeliveryRow extends postgres.Row {
  readonly state: string;
  readonly attempts: number;
  readonly error: string;
  readonly responseStatus: number | null;
  readonly waitMs: number;
}

export async function startWebhookRig(): Promise<WebhookRig> {
  const testDatabase = await createTestDatabase();
  const database = openDatabase({ url: testDatabase.url, connections: 10, applicationName: 'webhooks' });
  const sql = postgres(testDatabase.url, { max: 2, onnotice: () => undefined, transform: postgres.camel });
  const nodes: WebhookParts[] = [];
  const receivers: HttpReceiver[] = [];
  const log = pino({ level: process.env.DSTC_TEST_LOG ?? 'silent' }, pino.destination(2));

  return {
    sql,
    database,
    node(options = {}) {
      const allowed = { allowsHttp: true, allowedNetworks: [parseNetwork('127.0.0.1')] };
      const node = startWebhooks({ database, log }, { cell: 'test', ...allowed, ...options });
      nodes.push(node);
      return node;
    },
    async receiver() {
      const receiver = await startHttpReceiver();
      receivers.push(receiver);
      return receiver;
    },
    async create(node, url, settings = {}) {
      const { row, secret } = await node.webhooks.create(
        {
          ...{ namespace: 'default', description: '', url, filter: {}, headers: {}, secretHeaders: {} },
          ...{ format: { kind: 'cloud_event' }, isDisabled: false, ...settings },
        },
        'test',
      );
      return { id: row.id, secret };
    },
    async delivery(webhookId, eventId) {
      const [row] = await sql<DeliveryRow[]>`
        SELECT *, extract(epoch FROM due_time - now())::float8 * 1000 AS wait_ms FROM webhook_delivery
        WHERE webhook_id = ${webhookId} AND event_id = ${eventId}`;
      if (row === undefined) throw new Error(`there is no delivery of ${eventId}`);
      return row;
    },
    async allIn(webhookId, state) {
      const others = () =>
        sql`SELECT event_id, state, error FROM webhook_delivery WHERE webhook_id = ${webhookId} AND state::text <> ${state}`;
      await expect.poll(async () => [...(await others())], { timeout: 30_000, interval: 20 }).toEqual([]);
    },
    recorded: (webhookId, count) =>
      until(async () => {
        const rows = await sql`
          SELECT 1 FROM webhook_delivery WHERE webhook_id = ${webhookId} AND duration_ms IS NOT NULL`;
        return rows.length >= count;
      }),
    async webhook(id) {
      const [row] = await sql`SELECT * FROM webhook WHERE id = ${id}`;
      if (row === undefined) throw new Error(`there is no webhook ${id}`);
      return row;
    },
    async hasten(webhookId) {
      await sql`UPDATE webhook_delivery SET due_time = now() WHERE webhook_id = ${webhookId} AND state = 'PENDING'`;
    },
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()));
      await Promise.all(receivers.map((receiver) => receiver.stop()));
      await sql.end();
      await database.close();
      await testDatabase.drop();
    },
  };
}

/** An event of a task as it is read from the stream; later than every webhook. */
export function taskEvent(kind: EventKind = 'submitted', facts: Partial<StoredTaskEvent> = {}): StoredTaskEvent {
  return {
    ...{ of: 'task', kind, namespace: 'default', actor: 'alice@id.example.com', type: 'email.send', state: 'PENDING' },
    position: { order: '9000000000000000000', subjectId: randomUUID(), sequence: 1, timeMs: Date.now() },
    ...{ attempt: 0, leaseId: null, sessionId: null, error: null, reason: null, retryDelayMs: null },
    ...{ labels: { tenant: 'acme' }, traceParent: null, ...facts },
  };
}

export function idOf({ position }: StoredTaskEvent): string {
  return `${position.subjectId}:${position.sequence}`;
}

export const never = new AbortController().signal;

export async function until(isSo: () => Promise<boolean>): Promise<void> {
  await expect.poll(isSo, { timeout: 30_000, interval: 20 }).toBe(true);
}
