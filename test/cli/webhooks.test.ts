import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { WebhookDelivery, Webhook as WebhookRecord } from '@dstc/sdk';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';
import { type HttpReceiver, startHttpReceiver } from '../setup/http-receiver.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { dstc } from './dstc.ts';

let coordinator: TestCoordinator;
let receiver: HttpReceiver;
let home: string;
const run = (args: readonly string[], stdin?: string) =>
  dstc(args, { cwd: home, env: { XDG_CONFIG_HOME: join(home, 'config') }, ...(stdin !== undefined && { stdin }) });

/** What a command that succeeds prints as JSON. */
async function json<T>(args: readonly string[], stdin?: string): Promise<T> {
  const { code, stdout, stderr } = await run([...args, '-o', 'json'], stdin);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return JSON.parse(stdout);
}

beforeAll(async () => {
  receiver = await startHttpReceiver();
  coordinator = await startTestCoordinator({
    DSTC_WEBHOOK_ALLOW_HTTP: 'true',
    DSTC_WEBHOOK_ALLOW_NETWORKS: '127.0.0.1',
  });
  home = await temporaryDirectory();
  const { grpcAddress, httpUrl, identity } = coordinator;
  await mkdir(join(home, '.dstc'));
  const profile = { grpcAddress, httpAddress: httpUrl, issuer: identity.issuer, clients: identity.clients };
  await writeFile(join(home, '.dstc', 'dev.json'), JSON.stringify(profile));
  expect((await run(['type', 'apply', '-f', '-'], 'name: count')).code).toBe(0);
});
afterAll(async () => {
  await coordinator.stop();
  await receiver.stop();
  await rm(home, { recursive: true, force: true });
});

const definition = () => `
url: ${receiver.url}/hook
description: For a test.
filter: { types: [dstc.task.submitted.v1], taskTypes: [count], labels: { tenant: { in: [a, b] }, old: { exists: false } } }
secretHeaders: { authorization: Bearer t0ken }
`;

test('creates a webhook that gets what happens, lists what it got, and sends it again', async () => {
  const created = await run(['webhook', 'create', '-f', '-', '-o', 'json'], definition());
  expect(created).toMatchObject({ code: 0, stderr: 'keep the secret: it is not shown again\n' });
  const { id, secret } = JSON.parse(created.stdout) as WebhookRecord & { secret: string };
  await json(['task', 'submit', 'count', '--label', 'tenant=c']);
  const task = await json<{ id: string }>(['task', 'submit', 'count', '--label', 'tenant=a']);
  const [request] = await receiver.received(1);
  const headers = request?.headers as Record<string, string>;
  expect(headers.authorization).toBe('Bearer t0ken');
  expect(new Webhook(secret).verify(request?.body ?? '', headers)).toMatchObject({ subject: task.id });

  const list = () => json<WebhookDelivery[]>(['webhook', 'deliveries', id, '--state', 'succeeded']);
  await expect
    .poll(list, { timeout: 20_000 })
    .toMatchObject([{ state: 'SUCCEEDED', attempts: 1, responseStatus: 204 }]);
  const [delivery] = await list();
  const table = await run(['webhook', 'deliveries', id, '-n', '1']);
  expect(table.stdout).toMatch(new RegExp(`^${delivery?.eventId} +dstc.task.submitted.v1 +SUCCEEDED +1 `, 'm'));
  expect(await json(['webhook', 'replay', id, '--event', delivery?.eventId ?? ''])).toEqual({ replayed: 1 });
  await receiver.received(2);
  expect(await json(['webhook', 'replay', id, '--dead-letters'])).toEqual({ replayed: 0 });
  expect(await run(['webhook', 'replay', id])).toMatchObject({
    code: 2,
    stderr: 'dstc: say what to send again: --event, --dead-letters or --since\n',
  });
});

test('changes a webhook by what it has printed, without a secret in it', async () => {
  const { id } = await json<WebhookRecord>(['webhook', 'create', '-f', '-'], definition());
  const printed = await json<WebhookRecord>(['webhook', 'get', id]);
  expect(JSON.stringify(printed)).not.toContain('t0ken');
  const changed = JSON.stringify({ ...printed, description: 'Changed.', format: { slack: {} } });
  const { stdout } = await run(['webhook', 'update', id, '-f', '-'], changed);
  expect(stdout).toMatch(/^description +Changed\.$/m);
  expect(stdout).toMatch(/^format +slack$/m);
  expect(stdout).toMatch(/^secret headers +authorization$/m);
  expect(await run(['webhook', 'update', id, '-f', '-'], changed)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('(ETAG_MISMATCH)'),
  });
  expect(await json(['webhook', 'get', id])).toMatchObject({
    filter: { labels: { tenant: { in: ['a', 'b'] }, old: { exists: false } } },
    format: { slack: {} },
  });
});

test('stops a webhook, lets it go on, gives it another secret and deletes it', async () => {
  const { id } = await json<WebhookRecord>(['webhook', 'create', '-f', '-'], definition());
  expect((await run(['webhook', 'disable', id])).stdout).toMatch(/^status +disabled$/m);
  expect((await run(['webhook', 'enable', id])).stdout).toMatch(/^status +active$/m);
  expect((await run(['webhook', 'list'])).stdout).toMatch(
    new RegExp(`^${id} +active +cloudEvent +${receiver.url}`, 'm'),
  );
  const rotated = await run(['webhook', 'rotate', id, '--overlap', '1h']);
  expect(rotated.stdout).toMatch(/^whsec_\S+\n$/);
  expect(await run(['webhook', 'delete', id])).toMatchObject({ code: 0 });
  expect(await run(['webhook', 'get', id])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('(WEBHOOK_NOT_FOUND)'),
  });
});

test('tests a webhook, and fails when the endpoint does', async () => {
  const { id } = await json<WebhookRecord>(['webhook', 'create', '-f', '-'], definition());
  expect(await run(['webhook', 'test', id])).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^result +taken$/m),
  });
  receiver.answer = (_, response) => response.writeHead(401).end('who are you');
  expect(await run(['webhook', 'test', id])).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/^error +HTTP 401: who are you$/m),
  });
});

test('says what is wrong with a file', async () => {
  const unknown = `${definition()}\nformat: { slack: { channel: "#ops" } }`;
  expect(await run(['webhook', 'create', '-f', '-'], unknown)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('channel'),
  });
  expect(await run(['webhook', 'create', '-f', '-'], 'url: http://10.0.0.1/')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('DSTC_WEBHOOK_ALLOW_NETWORKS'),
  });
});
