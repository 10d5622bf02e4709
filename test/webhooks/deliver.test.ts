import type { ServerResponse } from 'node:http';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, it, test, vi } from 'vitest';
import { claimDueDeliveries } from '../../server/store/claim-deliveries.ts';
import { settleClaimedDeliveries } from '../../server/store/settle-deliveries.ts';
import { idOf, never, startWebhookRig, taskEvent, until, type WebhookRig } from './rig.ts';

let rig: WebhookRig;
beforeEach(async () => {
  rig = await startWebhookRig();
});
afterEach(() => rig.stop());

test('an event is sent once, signed, as a CloudEvent without payloads, although it is read twice', async () => {
  const [node, to] = [rig.node(), await rig.receiver()];
  const { id, secret } = await rig.create(node, `${to.url}/hook?a=b`, {
    headers: { 'X-Team': 'ops' },
    secretHeaders: { Authorization: 'Bearer t0ken' },
  });
  const event = taskEvent('failed', {
    state: 'FAILED',
    attempt: 2,
    error: { code: 'X', message: 'it „broke“', kind: 'FATAL' },
  });
  await node.consumer.deliver(0, [event, event], never);
  await node.consumer.deliver(0, [event], never);
  const [request] = await to.received(1);
  await rig.allIn(id, 'SUCCEEDED');
  expect(to.requests).toHaveLength(1);
  expect(request).toMatchObject({
    method: 'POST',
    path: '/hook?a=b',
    headers: {
      'content-type': 'application/cloudevents+json; charset=utf-8',
      'x-team': 'ops',
      authorization: 'Bearer t0ken',
      'webhook-id': idOf(event),
    },
  });
  const headers = request?.headers as Record<string, string>;
  expect(new Webhook(secret).verify(request?.body ?? '', headers)).toMatchObject({
    specversion: '1.0',
    id: idOf(event),
    type: 'dstc.task.failed.v1',
    source: '/cells/test',
    subject: event.position.subjectId,
    namespace: 'default',
    tasktype: 'email.send',
    data: {
      task: { id: event.position.subjectId, attempt: 2, labels: { tenant: 'acme' } },
      error: { code: 'X', message: 'it „broke“' },
    },
  });
  expect(await rig.delivery(id, idOf(event))).toMatchObject({ state: 'SUCCEEDED', attempts: 1, responseStatus: 204 });
});

test.each([-3_600_000, 3_600_000])(
  'a node whose clock is %i ms off sends what receivers take for new',
  async (offMs) => {
    const [node, to] = [rig.node(), await rig.receiver()];
    const { id, secret } = await rig.create(node, to.url);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + offMs });
    try {
      await node.consumer.deliver(0, [taskEvent()], never);
      await rig.allIn(id, 'SUCCEEDED');
      expect(await node.testWebhook(id, 'alice')).toMatchObject({ isTaken: true });
    } finally {
      vi.useRealTimers();
    }
    const verifier = new Webhook(secret);
    expect(to.requests).toHaveLength(2);
    for (const { headers, body } of to.requests) verifier.verify(body, headers as Record<string, string>);
  },
);

describe('a webhook gets', () => {
  it('what its filter lets through, of its namespace, from its creation on', async () => {
    const [node, to] = [rig.node(), await rig.receiver()];
    const filter = { types: ['dstc.task.*'], taskTypes: ['email.send'], labels: { tenant: 'acme' } };
    const { id } = await rig.create(node, to.url, { filter });
    const wanted = taskEvent('succeeded');
    const order = { ...wanted.position, order: '1' };
    await node.consumer.deliver(
      0,
      [
        taskEvent('succeeded', { type: 'email.read' }),
        taskEvent('succeeded', { labels: { tenant: 'other' } }),
        taskEvent('succeeded', { namespace: 'elsewhere' }),
        taskEvent('succeeded', { position: order }),
        wanted,
      ],
      never,
    );
    await rig.allIn(id, 'SUCCEEDED');
    expect(to.requests.map(({ headers }) => headers['webhook-id'])).toEqual([idOf(wanted)]);
  });

  it('events of worker sessions and namespaces only when it names them', async () => {
    const [node, to] = [rig.node(), await rig.receiver()];
    const all = await rig.create(node, `${to.url}/all`, { filter: { types: ['dstc.*'] } });
    const named = await rig.create(node, `${to.url}/named`, { filter: { types: ['dstc.namespace.*'] } });
    const begun = await rig.create(node, `${to.url}/begun`, { filter: { types: ['dstc.w*', 'dstc.namespace*'] } });
    const base = {
      ...taskEvent(),
      of: 'system',
      id: 'e1e1e1e1-0000-4000-8000-000000000001',
      subject: 'default',
    } as const;
    const paused = { ...base, kind: 'namespace.paused', data: { reason: 'now' } } as const;
    await node.consumer.deliver(0, [paused, taskEvent()], never);
    await rig.allIn(all.id, 'SUCCEEDED');
    await rig.allIn(named.id, 'SUCCEEDED');
    await rig.allIn(begun.id, 'SUCCEEDED');
    expect(to.requests.map(({ path, body }) => `${path} ${JSON.parse(body).type}`).sort()).toEqual([
      '/all dstc.task.submitted.v1',
      '/begun dstc.namespace.paused.v1',
      '/named dstc.namespace.paused.v1',
    ]);
  });

  it('nothing while it is disabled, and what happens from its enabling on', async () => {
    const [node, to] = [rig.node(), await rig.receiver()];
    const { id } = await rig.create(node, to.url, { isDisabled: true });
    const [before, after] = [taskEvent(), taskEvent()];
    await node.consumer.deliver(0, [before], never);
    const which = { namespace: 'default', id, maySee: () => true };
    const row = await rig.webhook(id);
    const settings = { ...row, isDisabled: false } as unknown as Parameters<typeof node.webhooks.update>[1];
    const { namespace, description, url, filter, headers, secretHeaders, format } = settings;
    await node.webhooks.update(
      which,
      { namespace, description, url, filter, headers, secretHeaders, format, isDisabled: false },
      undefined,
    );
    await node.consumer.deliver(0, [after], never);
    await rig.allIn(id, 'SUCCEEDED');
    expect(to.requests.map(({ headers: sent }) => sent['webhook-id'])).toEqual([idOf(after)]);
  });
});

describe('what a changed filter does not cover any more', () => {
  const ofType = (type: string) => taskEvent('submitted', { type });

  it('is not sent to where the webhook leads now, and what it covers is', async () => {
    const [node, before, after] = [rig.node(), await rig.receiver(), await rig.receiver()];
    before.answer = (_, response) => response.writeHead(500).end();
    const { id } = await rig.create(node, before.url, { filter: { taskTypes: ['mine.y', 'secret.x'] } });
    const [mine, secret] = [ofType('mine.y'), ofType('secret.x')];
    await node.consumer.deliver(0, [mine, secret], never);
    await rig.recorded(id, 2);
    await change(node, id, { url: after.url, filter: { taskTypes: ['mine.y'] } });
    await rig.hasten(id);
    await until(async () => (await rig.delivery(id, idOf(secret))).state === 'DEAD_LETTER');
    await until(async () => (await rig.delivery(id, idOf(mine))).state === 'SUCCEEDED');
    expect((await rig.delivery(id, idOf(secret))).error).toBe('the filter of the webhook does not cover it any more');
    expect(after.requests.map(({ headers }) => headers['webhook-id'])).toEqual([idOf(mine)]);
    expect(node.counts()).toEqual({ succeeded: 1, failed: 2, deadLettered: 0 });
  });

  it('keeps the circuit from being tried no longer than it takes to pass it over', async () => {
    const [node, to] = [rig.node(), await rig.receiver()];
    const { id } = await rig.create(node, to.url, { filter: { taskTypes: ['mine.y', 'secret.x'] } });
    await rig.sql`UPDATE webhook SET probe_time = now() + interval '1 hour' WHERE id = ${id}`;
    const secrets = [ofType('secret.x'), ofType('secret.x'), ofType('secret.x')];
    await node.consumer.deliver(0, secrets, never);
    const mine = ofType('mine.y');
    await node.consumer.deliver(0, [mine], never);
    await change(node, id, { url: to.url, filter: { taskTypes: ['mine.y'] } });
    await rig.sql`UPDATE webhook SET probe_time = now() WHERE id = ${id}`;
    await until(async () => (await rig.delivery(id, idOf(mine))).state === 'SUCCEEDED');
    expect(to.requests).toHaveLength(1);
    expect(await rig.webhook(id)).toMatchObject({ probing: false, probeTime: null });
  });

  async function change(node: ReturnType<typeof rig.node>, id: string, changes: { url: string; filter: object }) {
    const { namespace, description, headers, secretHeaders, format } = await rig.webhook(id);
    const settings = { namespace, description, headers, secretHeaders, format, isDisabled: false, ...changes };
    await node.webhooks.update({ namespace: 'default', id, maySee: () => true }, settings, undefined);
  }
});

test('an endpoint that hangs keeps no other one waiting', async () => {
  const [node, slow, quick] = [rig.node(), await rig.receiver(), await rig.receiver()];
  slow.answer = () => undefined;
  await rig.create(node, slow.url, { filter: { taskTypes: ['t.slow'] } });
  const { id } = await rig.create(node, quick.url, { filter: { taskTypes: ['t.quick'] } });
  await node.consumer.deliver(
    0,
    Array.from({ length: 300 }, () => taskEvent('submitted', { type: 't.slow' })),
    never,
  );
  await slow.received(8);
  await node.consumer.deliver(
    0,
    Array.from({ length: 50 }, () => taskEvent('submitted', { type: 't.quick' })),
    never,
  );
  await rig.allIn(id, 'SUCCEEDED');
  // As many as one endpoint may have under way.
  expect(slow.requests).toHaveLength(8);
  expect(quick.requests).toHaveLength(50);
});

describe('of the places of a node', () => {
  const held = (response: ServerResponse) => void response;
  const several = (count: number, facts: object) => Array.from({ length: count }, () => taskEvent('submitted', facts));

  it('the slow endpoints of one namespace leave some to the others', async () => {
    const [node, slow, quick] = [rig.node({ sendingMax: 8 }), await rig.receiver(), await rig.receiver()];
    slow.answer = (_, response) => held(response);
    for (let webhook = 0; webhook < 4; webhook += 1) await rig.create(node, slow.url, { namespace: 'slow' });
    const { id } = await rig.create(node, quick.url);
    await node.consumer.deliver(0, several(20, { namespace: 'slow' }), never);
    await slow.received(6);
    await node.consumer.deliver(0, several(20, {}), never);
    await rig.allIn(id, 'SUCCEEDED');
    expect(slow.requests).toHaveLength(6);
    expect(quick.requests).toHaveLength(20);
  });

  it('one that becomes free goes to the webhook of a namespace that has the fewest', async () => {
    const [node, slow, quick] = [rig.node({ sendingMax: 4 }), await rig.receiver(), await rig.receiver()];
    const waiting: ServerResponse[] = [];
    slow.answer = (_, response) => void waiting.push(response);
    quick.answer = (_, response) => held(response);
    await rig.create(node, slow.url, { filter: { taskTypes: ['t.slow'] } });
    await rig.create(node, quick.url, { filter: { taskTypes: ['t.quick'] } });
    await node.consumer.deliver(0, several(20, { type: 't.slow' }), never);
    await slow.received(3);
    await node.consumer.deliver(0, several(1, { type: 't.quick' }), never);
    waiting[0]?.writeHead(200).end();
    await quick.received(1);
    expect(slow.requests).toHaveLength(3);
  });

  it('an open circuit is tried only on one that there is', async () => {
    const node = rig.node();
    const [busy, shut] = [await rig.create(node, 'http://127.0.0.1/'), await rig.create(node, 'http://127.0.0.1/')];
    await node.stop();
    await node.consumer.deliver(0, [taskEvent()], never);
    await rig.sql`UPDATE webhook SET probe_time = now() WHERE id = ${shut.id}`;
    await rig.sql`UPDATE webhook SET disabled_time = now() WHERE id = ${busy.id}`;
    const options = { perWebhookMax: 8, perFreePlaceMax: 3, leaseMs: 60_000 };
    const claim = (deliveriesMax: number) => {
      const sending = new Map([[busy.id, 3]]);
      return rig.database.run((sql) => claimDueDeliveries(sql, { ...options, deliveriesMax, sending }));
    };
    expect(await claim(1)).toEqual([]);
    expect(await rig.webhook(shut.id)).toMatchObject({ probing: false });
    expect(await claim(2)).toMatchObject([{ webhookId: shut.id, isProbe: true }]);
    expect(await rig.webhook(shut.id)).toMatchObject({ probing: true });
  });
});

test('two nodes share the work, and each event is sent by one of them', async () => {
  const [one, other, to] = [rig.node(), rig.node(), await rig.receiver()];
  const { id } = await rig.create(one, to.url);
  const held = Promise.withResolvers<void>();
  to.answer = (_, response) => void held.promise.then(() => response.writeHead(200).end());
  const events = Array.from({ length: 400 }, () => taskEvent());
  await one.consumer.deliver(0, events.slice(0, 200), never);
  await other.consumer.deliver(1, events.slice(200), never);
  // Each has as many under way as it may.
  await to.received(16);
  held.resolve();
  await rig.allIn(id, 'SUCCEEDED');
  expect(to.requests.map(({ headers }) => headers['webhook-id']).sort()).toEqual(events.map(idOf).sort());
  expect(one.counts().succeeded + other.counts().succeeded).toBe(400);
  expect(Math.min(one.counts().succeeded, other.counts().succeeded)).toBeGreaterThan(0);
});

test('what a node had that died is sent by another one, and the dead one changes nothing any more', async () => {
  const [maker, to] = [rig.node(), await rig.receiver()];
  const { id } = await rig.create(maker, to.url, { isDisabled: true });
  await maker.stop();
  const event = taskEvent();
  await rig.sql`UPDATE webhook SET disabled_time = NULL WHERE id = ${id}`;
  await maker.consumer.deliver(0, [event], never);
  const bounds = { deliveriesMax: 10, perWebhookMax: 8, perFreePlaceMax: 3 };
  const options = { ...bounds, sending: new Map(), leaseMs: 300 };
  const [claimed] = await rig.database.run((sql) => claimDueDeliveries(sql, options));
  expect(claimed).toMatchObject({ eventId: idOf(event), attempts: 1 });
  // While its lease lasts nobody else has it.
  expect(await rig.database.run((sql) => claimDueDeliveries(sql, options))).toEqual([]);
  const held = Promise.withResolvers<void>();
  to.answer = (_, response) => void held.promise.then(() => response.writeHead(200).end());
  rig.node();
  await to.received(1);
  const late = { webhookId: id, eventId: idOf(event), attempts: 1, state: 'DEAD_LETTER', delayMs: 0 } as const;
  const end = { ...late, isGivenBack: false, responseStatus: null, durationMs: 1, error: 'late' };
  await rig.database.run((sql) => settleClaimedDeliveries(sql, [end]));
  expect(await rig.delivery(id, idOf(event))).toMatchObject({ state: 'PENDING', attempts: 2, error: '' });
  held.resolve();
  await rig.allIn(id, 'SUCCEEDED');
  expect(to.requests).toHaveLength(1);
});

test('a node that stops gives back what does not end in time, unspent', async () => {
  const [node, to] = [rig.node(), await rig.receiver()];
  const { id } = await rig.create(node, to.url);
  to.answer = () => undefined;
  const event = taskEvent();
  await node.consumer.deliver(0, [event], never);
  await to.received(1);
  await node.stop();
  const given = await rig.delivery(id, idOf(event));
  expect(given).toMatchObject({ state: 'PENDING', attempts: 0 });
  expect(given.waitMs).toBeLessThanOrEqual(0);
  to.answer = (_, response) => response.writeHead(200).end();
  rig.node();
  await rig.allIn(id, 'SUCCEEDED');
});

test('for a while after a rotation both secrets verify, then only the new one', async () => {
  const [node, to] = [rig.node(), await rig.receiver()];
  const { id, secret: first } = await rig.create(node, to.url);
  const which = { namespace: 'default', id, maySee: () => true };
  const { secret: second } = await node.webhooks.rotate(which, 60_000);
  await node.consumer.deliver(0, [taskEvent()], never);
  await to.received(1);
  expect(verifies(to.requests[0], first)).toBe(true);
  expect(verifies(to.requests[0], second)).toBe(true);
  await rig.sql`
    UPDATE webhook SET previous_secrets = jsonb_set(previous_secrets, '{0,expireTime}', to_jsonb(now())) WHERE id = ${id}`;
  await node.consumer.deliver(0, [taskEvent()], never);
  await to.received(2);
  expect(verifies(to.requests[1], first)).toBe(false);
  expect(verifies(to.requests[1], second)).toBe(true);
  const { secret: third } = await node.webhooks.rotate(which, 0);
  await node.consumer.deliver(0, [taskEvent()], never);
  await to.received(3);
  expect([first, second, third].map((secret) => verifies(to.requests[2], secret))).toEqual([false, false, true]);
});

test('a rotation that is repeated ends no secret that receivers know, and one without an overlap ends all', async () => {
  const [node, to] = [rig.node(), await rig.receiver()];
  const { id, secret: known } = await rig.create(node, to.url);
  const which = { namespace: 'default', id, maySee: () => true };
  const secrets = [known];
  for (let count = 1; count <= 6; count += 1) {
    secrets.unshift((await node.webhooks.rotate(which, 60_000)).secret);
    await node.consumer.deliver(0, [taskEvent()], never);
    const request = (await to.received(count)).at(-1);
    // The newest, and four of before.
    expect(secrets.map((secret) => verifies(request, secret))).toEqual(secrets.map((_, place) => place < 5));
  }
  secrets.unshift((await node.webhooks.rotate(which, 0)).secret);
  await node.consumer.deliver(0, [taskEvent()], never);
  const last = (await to.received(7)).at(-1);
  expect(secrets.map((secret) => verifies(last, secret))).toEqual(secrets.map((_, place) => place === 0));
});

function verifies(request: { body: string; headers: object } | undefined, secret: string): boolean {
  try {
    new Webhook(secret).verify(request?.body ?? '', request?.headers as Record<string, string>);
    return true;
  } catch {
    return false;
  }
}
