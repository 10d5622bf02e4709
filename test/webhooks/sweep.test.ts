import { afterEach, beforeEach, expect, test } from 'vitest';
import { sweepWebhooks } from '../../server/events/webhooks/sweeper.ts';
import { idOf, never, startWebhookRig, taskEvent, type WebhookRig } from './rig.ts';

let rig: WebhookRig;
beforeEach(async () => {
  rig = await startWebhookRig();
});
afterEach(() => rig.stop());

const bounds = { pendingMax: 5, deadLettersMax: 4, succeededMax: 3, logMsMax: 3_600_000 };

/** Deliveries of a webhook in a state, one a second, the last one just now. */
async function insert(webhookId: string, state: string, count: number): Promise<void> {
  await rig.sql`
    INSERT INTO webhook_delivery (webhook_id, event_id, event_type, event, sequence, state, expire_time, create_time, due_time)
    SELECT ${webhookId}::uuid, ${state}::text || n, 'x', '{}', 1, ${state}::text::webhook_delivery_state,
      now() + interval '1 hour', now() - (${count}::int - n) * interval '1 second', now() + interval '1 hour'
    FROM generate_series(1, ${count}::int) AS n`;
}

async function left(webhookId: string): Promise<Record<string, number>> {
  const rows = await rig.sql<{ state: string; count: number }[]>`
    SELECT state::text, count(*)::int FROM webhook_delivery WHERE webhook_id = ${webhookId} GROUP BY state`;
  return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
}

test('of what waits too long, and of what is too much, the oldest is given up', async () => {
  const node = rig.node();
  const { id } = await rig.create(node, 'http://127.0.0.1/');
  const other = await rig.create(node, 'http://127.0.0.1/');
  await insert(id, 'PENDING', 8);
  await insert(other.id, 'PENDING', 5);
  await rig.sql`UPDATE webhook_delivery SET expire_time = now(), error = 'HTTP 500' WHERE event_id = 'PENDING8' AND webhook_id = ${id}`;
  await sweepWebhooks(rig.database, bounds);
  expect(await left(id)).toEqual({ PENDING: 5, DEAD_LETTER: 3 });
  expect(await left(other.id)).toEqual({ PENDING: 5 });
  const given =
    await rig.sql`SELECT event_id, error FROM webhook_delivery WHERE state = 'DEAD_LETTER' ORDER BY event_id`;
  expect([...given]).toEqual([
    { eventId: 'PENDING1', error: 'too much waited for the endpoint' },
    { eventId: 'PENDING2', error: 'too much waited for the endpoint' },
    { eventId: 'PENDING8', error: 'HTTP 500' },
  ]);
});

test('what is given up while its request is under way counts as taken when the endpoint takes it', async () => {
  const [node, to] = [rig.node(), await rig.receiver()];
  const { id } = await rig.create(node, to.url);
  const held = Promise.withResolvers<void>();
  to.answer = (_, response) => void held.promise.then(() => response.writeHead(200).end());
  await node.consumer.deliver(0, [taskEvent()], never);
  await to.received(1);
  await rig.sql`UPDATE webhook_delivery SET expire_time = now()`;
  await sweepWebhooks(rig.database, bounds);
  expect(await left(id)).toEqual({ DEAD_LETTER: 1 });
  held.resolve();
  await rig.allIn(id, 'SUCCEEDED');
});

test('of what ended the newest are kept, for a time', async () => {
  const node = rig.node();
  const { id } = await rig.create(node, 'http://127.0.0.1/');
  await insert(id, 'SUCCEEDED', 10);
  await insert(id, 'DEAD_LETTER', 10);
  await sweepWebhooks(rig.database, bounds);
  expect(await left(id)).toEqual({ SUCCEEDED: 3, DEAD_LETTER: 4 });
  const kept = await rig.sql`SELECT event_id FROM webhook_delivery WHERE state = 'SUCCEEDED' ORDER BY create_time`;
  expect(kept.map(({ eventId }) => eventId)).toEqual(['SUCCEEDED8', 'SUCCEEDED9', 'SUCCEEDED10']);
  await rig.sql`UPDATE webhook_delivery SET create_time = create_time - interval '59 minutes 59 seconds' WHERE state = 'DEAD_LETTER'`;
  await sweepWebhooks(rig.database, bounds);
  expect(await left(id)).toEqual({ SUCCEEDED: 3, DEAD_LETTER: 1 });
});

test('a webhook that is deleted goes with everything that it has', async () => {
  const [node, to] = [rig.node(), await rig.receiver()];
  const format = { kind: 'github_issue', labels: [], assignees: [], keepOpen: false } as const;
  const { id } = await rig.create(node, to.url, { format, secretHeaders: { authorization: 'secret' } });
  await node.consumer.deliver(0, [taskEvent('failed'), taskEvent('failed')], never);
  await rig.allIn(id, 'SUCCEEDED');
  await insert(id, 'PENDING', 2_500);
  await node.webhooks.delete({ namespace: 'default', id, maySee: () => true }, undefined);
  expect(await rig.webhook(id)).toMatchObject({ secretHeaders: {}, secret: Buffer.from('') });
  await sweepWebhooks(rig.database, bounds);
  const [counts] = await rig.sql`
    SELECT (SELECT count(*)::int FROM webhook) AS webhooks, (SELECT count(*)::int FROM webhook_delivery) AS deliveries,
      (SELECT count(*)::int FROM webhook_reference) AS "references"`;
  expect(counts).toEqual({ webhooks: 0, deliveries: 0, references: 0 });
});

test('a webhook that is deleted while deliveries are made for it leaves nothing behind', async () => {
  const node = rig.node();
  const { id } = await rig.create(node, 'http://127.0.0.1/', { isDisabled: true });
  await rig.sql`UPDATE webhook SET disabled_time = NULL WHERE id = ${id}`;
  const maker = await rig.sql.reserve();
  await maker`BEGIN`;
  // As far as the statement that makes deliveries gets before it is held up.
  await maker`SELECT FROM webhook WHERE id = ${id} FOR KEY SHARE`;
  await node.webhooks.delete({ namespace: 'default', id, maySee: () => true }, undefined);
  await sweepWebhooks(rig.database, bounds);
  await maker`INSERT INTO webhook_delivery (webhook_id, event_id, event_type, event, sequence, expire_time)
    VALUES (${id}, 'late', 'x', '{}', 1, now())`;
  await maker`COMMIT`;
  maker.release();
  expect(await left(id)).toEqual({ PENDING: 1 });
  await sweepWebhooks(rig.database, bounds);
  await sweepWebhooks(rig.database, bounds);
  expect(await left(id)).toEqual({});
  const event = taskEvent();
  await node.consumer.deliver(0, [event], never);
  await expect(rig.delivery(id, idOf(event))).rejects.toThrow('there is no delivery');
});

test('figures tell what waits and how many circuits are open', async () => {
  const seed = rig.node();
  const { id } = await rig.create(seed, 'http://127.0.0.1/');
  await insert(id, 'PENDING', 7);
  await rig.sql`UPDATE webhook SET probe_time = now() + interval '1 hour'`;
  const node = rig.node();
  await expect.poll(() => node.figures(), { timeout: 10_000 }).toEqual({ pending: 7, openCircuits: 1 });
});
