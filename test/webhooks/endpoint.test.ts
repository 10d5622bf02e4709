import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseNetwork } from '../../server/events/webhooks/addresses.ts';
import { idOf, never, startWebhookRig, taskEvent, type WebhookRig } from './rig.ts';

let rig: WebhookRig;
beforeEach(async () => {
  rig = await startWebhookRig();
});
afterEach(() => rig.stop());

describe('an endpoint that', () => {
  it('fails is tried again later, until it takes the event', async () => {
    const [node, to] = [rig.node(), await rig.receiver()];
    const { id } = await rig.create(node, to.url);
    to.answer = (_, response) => response.writeHead(500).end('no\u0000 database\n\u001b[31m');
    const event = taskEvent();
    await node.consumer.deliver(0, [event], never);
    await to.received(1);
    await rig.recorded(id, 1);
    const failed = await rig.delivery(id, idOf(event));
    expect(failed).toMatchObject({
      state: 'PENDING',
      attempts: 1,
      responseStatus: 500,
      error: 'HTTP 500: no database [31m',
    });
    expect(failed.waitMs).toBeLessThanOrEqual(30_000);
    to.answer = (_, response) => response.writeHead(200).end();
    await rig.hasten(id);
    await rig.allIn(id, 'SUCCEEDED');
    const [first, second] = to.requests;
    expect(second?.body).toBe(first?.body);
    expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id']);
    expect(await rig.delivery(id, idOf(event))).toMatchObject({ attempts: 2, error: '' });
  });

  it('repeats what it was told in confidence leaves nothing of it in the log', async () => {
    const [node, to] = [rig.node(), await rig.receiver()];
    const format = { kind: 'gitlab_pipeline', ref: 'main', token: 'glptt-T0K3N', variables: {} } as const;
    const { id } = await rig.create(node, to.url, { format, secretHeaders: { authorization: 'Bearer T0PS3CRET' } });
    to.answer = ({ headers, body }, response) => {
      response.writeHead(500).end(`${' '.repeat(470)} ${body} ${headers.authorization} ${'.'.repeat(460)} glptt-T0K3N`);
    };
    const event = taskEvent();
    await node.consumer.deliver(0, [event], never);
    await rig.recorded(id, 1);
    const { error } = await rig.delivery(id, idOf(event));
    const { lastFailure } = await rig.webhook(id);
    for (const text of [error, lastFailure]) {
      expect(text).toMatch(/^HTTP 500: \{.*"token":"…".*\} … \.+/);
      expect(text).not.toMatch(/glptt|T0/);
    }
  });

  it.each([
    ['seconds', () => ({ 'retry-after': '600' })],
    ['a date', () => ({ 'retry-after': new Date(Date.now() + 600_000).toUTCString() })],
  ])('asks for time in %s gets it', async (_, headers) => {
    const [node, to] = [rig.node(), await rig.receiver()];
    const { id } = await rig.create(node, to.url);
    to.answer = (_request, response) => response.writeHead(429, headers()).end();
    const event = taskEvent();
    await node.consumer.deliver(0, [event], never);
    await rig.recorded(id, 1);
    const { waitMs } = await rig.delivery(id, idOf(event));
    expect(waitMs).toBeGreaterThan(560_000);
    expect(waitMs).toBeLessThanOrEqual(600_000);
  });

  it('is gone is disabled, and gets what waits when people enable it', async () => {
    const [node, to] = [rig.node(), await rig.receiver()];
    const { id } = await rig.create(node, to.url);
    to.answer = (_, response) => response.writeHead(410).end();
    const event = taskEvent();
    await node.consumer.deliver(0, [event], never);
    await rig.recorded(id, 1);
    expect(await rig.webhook(id)).toMatchObject({
      disabledTime: expect.any(Date),
      disabledReason: 'the endpoint answered with 410 Gone',
    });
    expect(await rig.delivery(id, idOf(event))).toMatchObject({ state: 'PENDING' });
    await node.consumer.deliver(0, [taskEvent()], never);
    to.answer = (_, response) => response.writeHead(200).end();
    const { namespace, description, url, filter, headers, secretHeaders, format } = await rig.webhook(id);
    const settings = { namespace, description, url, filter, headers, secretHeaders, format, isDisabled: false };
    await node.webhooks.update({ namespace: 'default', id, maySee: () => true }, settings, undefined);
    await rig.allIn(id, 'SUCCEEDED');
    expect(to.requests).toHaveLength(2);
  });

  it('redirects has failed, and the address that it names is not asked', async () => {
    const [node, to, inner] = [rig.node(), await rig.receiver(), await rig.receiver()];
    const { id } = await rig.create(node, to.url);
    to.answer = (_, response) => response.writeHead(307, { location: `${inner.url}/admin` }).end();
    const event = taskEvent();
    await node.consumer.deliver(0, [event], never);
    await rig.recorded(id, 1);
    expect((await rig.delivery(id, idOf(event))).error).toBe(
      `HTTP 307: redirects are not followed; set the URL that this one leads to: ${inner.url}/admin`,
    );
    expect(inner.connections()).toBe(0);
  });

  it('never answers has failed when its time is over', async () => {
    const [node, to] = [rig.node({ deliveryMsMax: 100 }), await rig.receiver()];
    const { id } = await rig.create(node, to.url);
    to.answer = () => undefined;
    const event = taskEvent();
    await node.consumer.deliver(0, [event], never);
    await rig.recorded(id, 1);
    expect(await rig.delivery(id, idOf(event))).toMatchObject({
      error: 'no answer within 0.1 s',
      responseStatus: null,
    });
  });

  it('has a name that stands for a local address later on is not asked any more', async () => {
    const to = await rig.receiver();
    let address = '127.0.0.1';
    const node = rig.node({ resolve: () => Promise.resolve([address]) });
    const { id } = await rig.create(node, `http://hooks.example.com:${to.port}/`);
    await node.consumer.deliver(0, [taskEvent()], never);
    await rig.allIn(id, 'SUCCEEDED');
    address = '127.0.0.2';
    const event = taskEvent();
    await node.consumer.deliver(0, [event], never);
    await rig.recorded(id, 2);
    expect((await rig.delivery(id, idOf(event))).error).toContain('hooks.example.com is no address of the Internet');
    expect(to.requests).toHaveLength(1);
  });

  it.each(['127.0.0.1', '127.0.0.0/8'])('is a local name is asked at the address that %s allows', async (network) => {
    const [node, to] = [rig.node({ allowedNetworks: [parseNetwork(network)] }), await rig.receiver()];
    const { id } = await rig.create(node, `http://localhost:${to.port}/`);
    await node.consumer.deliver(0, [taskEvent()], never);
    await rig.recorded(id, 1);
    await rig.allIn(id, 'SUCCEEDED');
    expect(to.requests).toHaveLength(1);
  });

  it('fails to the last is given up, and gets the event when that is replayed', async () => {
    const [node, to] = [rig.node(), await rig.receiver()];
    const { id } = await rig.create(node, to.url);
    to.answer = (_, response) => response.writeHead(503).end();
    const event = taskEvent();
    await node.consumer.deliver(0, [event], never);
    await rig.recorded(id, 1);
    await rig.sql`UPDATE webhook_delivery SET attempts = 11 WHERE webhook_id = ${id}`;
    await rig.hasten(id);
    await rig.allIn(id, 'DEAD_LETTER');
    expect(await rig.delivery(id, idOf(event))).toMatchObject({ attempts: 12, error: 'HTTP 503' });
    expect(node.counts()).toEqual({ succeeded: 0, failed: 2, deadLettered: 1 });
    to.answer = (_, response) => response.writeHead(200).end();
    const row = { id, filter: {} };
    const page = { after: undefined, size: 10 };
    expect(await node.webhooks.replay(row, { of: 'dead letters' }, page)).toEqual({ replayed: 1, next: undefined });
    await rig.allIn(id, 'SUCCEEDED');
    expect(await rig.delivery(id, idOf(event))).toMatchObject({ attempts: 1, error: '' });
    expect(await node.webhooks.replay(row, { of: 'dead letters' }, page)).toEqual({ replayed: 0, next: undefined });
  });
});
