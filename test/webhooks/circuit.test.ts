import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { never, startWebhookRig, taskEvent, until, type WebhookRig } from './rig.ts';

let rig: WebhookRig;
beforeEach(async () => {
  rig = await startWebhookRig();
});
afterEach(() => rig.stop());

describe('the circuit of a webhook', () => {
  it('opens after five failures, lets one request through at its time, and closes when that is taken', async () => {
    const [node, to] = [rig.node(), await rig.receiver()];
    const { id } = await rig.create(node, to.url);
    to.answer = (_, response) => response.writeHead(500).end();
    const events = Array.from({ length: 40 }, () => taskEvent());
    await node.consumer.deliver(0, events, never);
    await until(async () => (await rig.webhook(id)).probeTime !== null);
    // What was under way when it opened ends; nothing else is begun.
    await until(
      async () =>
        (
          await rig.sql`SELECT 1 FROM webhook_delivery WHERE attempts > 0 AND duration_ms IS NULL
      AND webhook_id = ${id}`
        ).length === 0,
    );
    const begun = to.requests.length;
    expect(begun).toBeGreaterThanOrEqual(5);
    expect(begun).toBeLessThan(40);
    const open = await rig.webhook(id);
    expect(open).toMatchObject({ openings: 1, probing: false, lastFailure: 'HTTP 500' });
    expect(open.probeTime.getTime() - Date.now()).toBeGreaterThan(20_000);

    // A probe that fails leaves it open for longer, and has cost one request.
    await rig.hasten(id);
    await rig.sql`UPDATE webhook SET probe_time = now() WHERE id = ${id}`;
    await until(async () => (await rig.webhook(id)).openings === 2);
    expect(to.requests.length).toBe(begun + 1);
    expect((await rig.webhook(id)).probeTime.getTime() - Date.now()).toBeGreaterThan(50_000);

    let answers = 0;
    const held = Promise.withResolvers<void>();
    to.answer = (_, response) => {
      answers += 1;
      if (answers > 1) response.writeHead(200).end();
      else void held.promise.then(() => response.writeHead(200).end());
    };
    await rig.hasten(id);
    await rig.sql`UPDATE webhook SET probe_time = now() WHERE id = ${id}`;
    await to.received(begun + 2);
    expect(await rig.webhook(id)).toMatchObject({ probing: true });
    expect(answers).toBe(1);
    held.resolve();
    await rig.allIn(id, 'SUCCEEDED');
    expect(await rig.webhook(id)).toMatchObject({ failures: 0, openings: 0, probeTime: null, probing: false });
  });

  it('is open as long as the endpoint asks for', async () => {
    const [node, to] = [rig.node(), await rig.receiver()];
    const { id } = await rig.create(node, to.url);
    to.answer = (_, response) => response.writeHead(503, { 'retry-after': '1200' }).end();
    await node.consumer.deliver(
      0,
      Array.from({ length: 5 }, () => taskEvent()),
      never,
    );
    await until(async () => (await rig.webhook(id)).probeTime !== null);
    expect((await rig.webhook(id)).probeTime.getTime() - Date.now()).toBeGreaterThan(1_100_000);
  });

  it('that has been failing for three days disables the webhook', async () => {
    const [node, to] = [rig.node(), await rig.receiver()];
    const { id } = await rig.create(node, to.url);
    to.answer = (_, response) => response.writeHead(500).end();
    await rig.sql`UPDATE webhook SET failures = 4, failing_time = now() - interval '3 days' WHERE id = ${id}`;
    await node.consumer.deliver(0, [taskEvent()], never);
    await until(async () => (await rig.webhook(id)).disabledTime !== null);
    expect((await rig.webhook(id)).disabledReason).toBe('the endpoint has failed for three days');
  });
});
