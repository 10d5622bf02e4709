import { type Client, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { WebhookDeliveryState } from '@dstc/contract/dstc/v1/webhook_pb';
import { WebhookService } from '@dstc/contract/dstc/v1/webhook_service_pb';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EngineRig, failure, startEngineRig, success } from '../engine/rig.ts';
import { type HttpReceiver, startHttpReceiver } from '../setup/http-receiver.ts';
import { leaseOf } from '../setup/raw-worker.ts';

let rig: EngineRig;
let receiver: HttpReceiver;
let webhooks: Client<typeof WebhookService>;
const settings = { DSTC_WEBHOOK_ALLOW_HTTP: 'true', DSTC_WEBHOOK_ALLOW_NETWORKS: '127.0.0.0/8', DSTC_CELL: 'berlin' };

beforeAll(async () => {
  [rig, receiver] = await Promise.all([startEngineRig(settings), startHttpReceiver()]);
  const token = await rig.coordinator.token('operator');
  const transport = createGrpcTransport({
    baseUrl: `http://${rig.coordinator.grpcAddress}`,
    interceptors: [
      (call) => (request) => {
        request.header.set('authorization', `Bearer ${token}`);
        return call(request);
      },
    ],
  });
  webhooks = createClient(WebhookService, transport);
});
afterAll(async () => {
  await rig.stop();
  await receiver.stop();
});

test('what happens to tasks reaches an endpoint, every event once, while nodes come and go', async () => {
  const type = await rig.type();
  const { webhook, secret } = await webhooks.createWebhook({
    webhook: { url: receiver.url, filter: { taskTypes: [type], types: ['dstc.task.*'] } },
  });
  const id = webhook?.id ?? '';
  const other = await rig.coordinator.startNode();
  const worker = await rig.workerOf(type, 20);
  const ids = await Promise.all(Array.from({ length: 20 }, () => rig.submit(type)));
  const leases = (await worker.assignments(20)).map(leaseOf);
  // The node that is not the workers' goes, whatever it has under way.
  await other.stop();
  worker.send(success(...leases));
  for (const task of ids) expect(await rig.end(task)).toBe('SUCCEEDED');

  const kinds = new Map(
    await Promise.all(ids.map(async (task) => [task, (await rig.stored(task)).events.length] as const)),
  );
  const expected = [...kinds.values()].reduce((sum, count) => sum + count, 0);
  const requests = await receiver.received(expected);
  const verifier = new Webhook(secret);
  const events = requests.map(
    ({ headers, body }) => verifier.verify(body, headers as Record<string, string>) as { id: string; source: string },
  );
  expect(new Set(events.map((event) => event.id)).size).toBe(expected);
  expect(new Set(events.map(({ source }) => source))).toEqual(new Set(['/cells/berlin']));
  await expect
    .poll(async () => {
      const { deliveries } = await webhooks.listWebhookDeliveries({ id, pageSize: 1_000 });
      return deliveries.filter(({ state }) => state === WebhookDeliveryState.SUCCEEDED).length;
    })
    .toBe(expected);
  await expect.poll(metrics).toMatch(/^dstc_webhook_attempts_total\{outcome="succeeded"\} [1-9]/m);
});

test('a task that fails opens an issue, and closes it when it is redriven and succeeds', async () => {
  const type = await rig.type({ retryPolicy: { attemptsMax: 1 } });
  const tracker = await startHttpReceiver();
  tracker.answer = ({ path }, response) =>
    response.writeHead(201).end(path.endsWith('/issues') ? '{"number":12}' : '{}');
  try {
    await webhooks.createWebhook({
      webhook: {
        url: `${tracker.url}/repos/acme/shop`,
        filter: { taskTypes: [type] },
        secretHeaders: { authorization: 'Bearer t0ken' },
        format: { case: 'githubIssue', value: { labels: ['dstc'] } },
      },
    });
    const worker = await rig.workerOf(type, 1);
    const task = await rig.submit(type);
    const [first] = await worker.assignments(1);
    worker.send(failure(leaseOf(first)));
    expect(await rig.end(task)).toBe('FAILED');
    await tracker.received(1);
    await rig.tasks.redriveTask({ id: task, reason: 'it is repaired' });
    const [second] = await worker.assignments(1);
    worker.send(success(leaseOf(second)));
    expect(await rig.end(task)).toBe('SUCCEEDED');
    const requests = await tracker.received(4);
    expect(requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /repos/acme/shop/issues',
      'POST /repos/acme/shop/issues/12/comments',
      'PATCH /repos/acme/shop/issues/12',
      'POST /repos/acme/shop/issues/12/comments',
    ]);
    expect(requests[1]?.body).toContain('it is repaired');
  } finally {
    await tracker.stop();
  }
});

async function metrics(): Promise<string> {
  const headers = { authorization: `Bearer ${await rig.coordinator.token('operator')}` };
  return (await fetch(`${rig.coordinator.httpUrl}/metrics`, { headers })).text();
}
