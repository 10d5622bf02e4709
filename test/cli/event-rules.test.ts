// biome-ignore-all lint/suspicious/noTemplateCurlyInString: templates are what is tested.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EventRule, EventRuleTest } from '@dstc/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { dstc } from './dstc.ts';

let coordinator: TestCoordinator;
let home: string;
const run = (args: readonly string[], stdin?: string) =>
  dstc(args, { cwd: home, env: { XDG_CONFIG_HOME: join(home, 'config') }, ...(stdin !== undefined && { stdin }) });

/** What a command that succeeds prints as JSON. */
async function json<T>(args: readonly string[], stdin?: string): Promise<T> {
  const { code, stdout, stderr } = await run([...args, '-o', 'json'], stdin);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
}

const rules = `
name: orders.invoice
eventType: com.example.order.*
condition: event.data.total > 0.0
taskType: invoice
input: { order: '\${event.data.id}', nothing: null }
labels: { customer: '\${event.subject}' }
delay: 1m
---
name: orders.copy
eventType: com.example.order.placed
taskType: copy
`;
const event = (id: string, changes = {}) =>
  JSON.stringify({
    specversion: '1.0',
    id,
    source: '/shop',
    type: 'com.example.order.placed',
    subject: 'acme',
    data: { id, total: 5 },
    ...changes,
  });

beforeAll(async () => {
  coordinator = await startTestCoordinator();
  home = await temporaryDirectory();
  const { grpcAddress, httpUrl, identity } = coordinator;
  await mkdir(join(home, '.dstc'));
  const profile = { grpcAddress, httpAddress: httpUrl, issuer: identity.issuer, clients: identity.clients };
  await writeFile(join(home, '.dstc', 'dev.json'), JSON.stringify(profile));
  expect((await run(['type', 'apply', '-f', '-'], 'name: invoice\n---\nname: copy\n')).code).toBe(0);
  await writeFile(join(home, 'rules.yaml'), rules);
  expect((await run(['event-rule', 'apply', '-f', 'rules.yaml'])).code).toBe(0);
});
afterAll(async () => {
  await coordinator.stop();
  await rm(home, { recursive: true, force: true });
});

test('applies event rules and reads back what it has printed', async () => {
  const listed = await json<EventRule[]>(['event-rule', 'list']);
  expect(listed.map(({ name }) => name)).toEqual(['orders.copy', 'orders.invoice']);
  const printed = await json<EventRule>(['event-rule', 'get', 'orders.invoice']);
  expect(printed).toMatchObject({
    input: { order: '${event.data.id}', nothing: null },
    labels: { customer: '${event.subject}' },
    delayMs: 60_000,
  });
  const changed = { ...printed, description: 'changed' };
  const again = await json(['event-rule', 'apply', '-f', '-'], JSON.stringify(changed));
  expect(again).toMatchObject([{ ...changed, etag: expect.any(String), updateTime: expect.any(String) }]);
  const stale = await run(['event-rule', 'apply', '-f', '-'], JSON.stringify(changed));
  expect(stale).toMatchObject({ code: 1, stderr: expect.stringMatching(/^dstc: .*\(ETAG_MISMATCH\).*\n$/) });
  expect((await run(['event-rule', 'get', 'orders.invoice'])).stdout).toMatch(
    /^condition +event\.data\.total > 0\.0$/m,
  );
});

test('says what is wrong with a rule, and where', async () => {
  const unknown = await run(['event-rule', 'apply', '-f', '-'], 'name: x\neventTyp: y\ntaskType: copy\n');
  expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining('x.eventTyp: there is no such field') });
  const without = await run(['event-rule', 'apply', '-f', '-'], 'name: x\ntaskType: copy\n');
  expect(without).toMatchObject({ code: 2, stderr: expect.stringContaining('x.eventType: every event rule needs it') });
  const rule = 'name: x\neventType: y\ntaskType: copy\ninput: { a: "${evnt}" }\n';
  const wrong = await run(['event-rule', 'apply', '-f', '-'], rule);
  expect(wrong).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('rule.input.a: at character 3: there is no evnt'),
  });
});

test('shows what a rule would make of an event', async () => {
  const tested = await json<EventRuleTest>(['event-rule', 'test', 'orders.invoice', '--event', '-'], event('1'));
  expect(tested).toMatchObject({
    matches: true,
    submission: { taskType: 'invoice', input: { order: '1', nothing: null }, labels: { customer: 'acme' } },
  });
  await writeFile(join(home, 'event.json'), event('1', { data: {} }));
  const failed = await run(['event-rule', 'test', '-f', '-', '-e', 'event.json'], rules.split('---')[0]);
  expect(failed).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/^error +.*field not found: total \(EVENT_RULE_FAILED\)$/m),
  });
  expect((await run(['event-rule', 'test', '--event', 'event.json'])).code).toBe(2);
});

test('publishes one event, and says which tasks came of it', async () => {
  const args = ['events', 'publish', '--type', 'com.example.order.placed', '--source', '/shop', '--id', 'one'];
  const more = ['--subject', 'acme', '--extension', 'tenant=7', '--data', '{"id":"A","total":1}'];
  const published = await json<{ rule: string; taskId: string; result: string }[]>([...args, ...more]);
  expect(published).toMatchObject([
    { rule: 'orders.copy', result: 'submitted' },
    { rule: 'orders.invoice', result: 'submitted' },
  ]);
  const { input, labels } = await json<{ input: unknown; labels: object }>(['task', 'get', published[1]?.taskId ?? '']);
  expect({ input, labels }).toEqual({ input: { order: 'A', nothing: null }, labels: { customer: 'acme' } });
  const { code, stdout } = await run([...args, ...more]);
  expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringMatching(/existed already +orders\.copy/) });
  expect((await run(['events', 'publish', '--type', 'x'])).code).toBe(2);
});

test('publishes a file of events, names those that are wrong, and fails', async () => {
  const lines = [event('a'), event('b', { id: '' }), event('c', { type: 'unknown' }), event('d', { data: {} })];
  const { code, stdout, stderr } = await run(['events', 'publish', '--file', '-'], lines.join('\n'));
  expect(code).toBe(1);
  expect(stderr).toMatch(/^event 2: .*\(FIELD_INVALID\)\nevent 4: .*\(EVENT_RULE_FAILED\)\n$/);
  expect(stdout.split('\n').map((line) => line.trim().split(/ {2,}/).slice(0, 3).join(' '))).toEqual([
    'EVENT RESULT RULE',
    '1 submitted orders.copy',
    '1 submitted orders.invoice',
    '2 FIELD_INVALID',
    '3 ignored',
    '4 submitted orders.copy',
    '4 EVENT_RULE_FAILED orders.invoice',
    '',
  ]);
});

test('publishes more events than one call takes', async () => {
  const events = Array.from({ length: 250 }, (_, at) => JSON.parse(event(`many-${at}`)));
  const published = await json<{ event: number; taskId: string }[]>(
    ['events', 'publish', '--file', '-'],
    JSON.stringify(events),
  );
  expect(new Set(published.map(({ taskId }) => taskId)).size).toBe(500);
  expect(published.at(-1)?.event).toBe(250);
});

test('deletes a rule', async () => {
  expect(await run(['event-rule', 'delete', 'orders.copy'])).toMatchObject({
    code: 0,
    stderr: 'deleted orders.copy\n',
  });
  expect(await run(['event-rule', 'get', 'orders.copy'])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('(EVENT_RULE_NOT_FOUND)'),
  });
});
