import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import type { WebhookFormat } from '../../server/domain/webhook.ts';
import { createAddressCheck, parseNetwork } from '../../server/events/webhooks/addresses.ts';
import { createHttpClient, type HttpClient } from '../../server/events/webhooks/http-client.ts';
import { createSendDelivery, type SendDelivery } from '../../server/events/webhooks/send-delivery.ts';
import { type HttpReceiver, startHttpReceiver } from '../setup/http-receiver.ts';

let receiver: HttpReceiver;
let client: HttpClient;
let send: SendDelivery;

beforeEach(async () => {
  receiver = await startHttpReceiver();
  client = createHttpClient({
    allowsHttp: true,
    isAllowed: createAddressCheck([parseNetwork('127.0.0.1')]),
    resolve: () => Promise.reject(new Error('no name is looked up')),
    connectMsMax: 5_000,
    responseBytesMax: 64 * 1024,
  });
  send = createSendDelivery({ client }, { deliveryMsMax: 10_000, retryAfterMsMax: 60_000, errorCharactersMax: 500 });
});

afterEach(async () => {
  client.close();
  await receiver.stop();
});

const never = new AbortController().signal;
const taskId = '0192f0c1-7c1e-7abc-8def-0123456789ab';
/** Everything that somebody could write into an error to become somebody else's link, mention or script. */
const nasty =
  '@channel <!channel> <@U1> & [x](http://evil) `` ```\n# **b** _i_ | ~s~ <script>alert(1)</script> #1 @octocat "\\';

function cloudEvent(kind: string, data: object = {}): string {
  return JSON.stringify({
    specversion: '1.0',
    id: `${taskId}:4`,
    type: `dstc.${kind}.v1`,
    source: '/cells/dstc',
    subject: taskId,
    time: '2026-03-01T12:00:00.000Z',
    namespace: 'default',
    tasktype: 'email.send',
    sequence: '0000000004',
    actor: 'worker@id.example.com',
    datacontenttype: 'application/json',
    data: { task: { id: taskId, type: 'email.send', state: 'TASK_STATE_FAILED', attempt: 3 }, ...data },
  });
}

const failure = { error: { code: 'SMTP_DOWN', message: nasty }, reason: '' };

interface Sent {
  readonly kind?: string;
  readonly data?: object;
  readonly path?: string;
  readonly externalId?: string | null;
}

function deliver(
  format: WebhookFormat,
  { kind = 'task.failed', data = failure, path = '', externalId = null }: Sent = {},
) {
  const endpoint = {
    ...{ id: randomUUID(), namespace: 'default', url: `${receiver.url}${path}`, headers: { 'X-Team': 'ops' } },
    ...{ secretHeaders: { Authorization: 'Bearer t0ken' }, format, secret: new Uint8Array(32), previousSecrets: [] },
    readMs: Date.now(),
  };
  return send({ endpoint, eventId: `${taskId}:4`, event: cloudEvent(kind, data), externalId }, never);
}

function firstBody<Body>(): Body {
  return JSON.parse(receiver.requests[0]?.body ?? 'null') as Body;
}

function sent() {
  return receiver.requests.map(({ method, path, body }) => ({ method, path, body: JSON.parse(body) as unknown }));
}

describe('a GitHub issue', () => {
  const format: WebhookFormat = { kind: 'github_issue', labels: ['dstc'], assignees: ['octocat'], keepOpen: false };
  const path = '/repos/acme/shop';

  it('is opened for a task that failed, and its number is kept', async () => {
    receiver.answer = (_, response) =>
      response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ id: 1, number: 42 }));
    expect(await deliver(format, { path })).toEqual({ is: 'taken', status: 201, externalId: '42', remark: '' });
    const [request] = receiver.requests;
    expect(request?.headers).toMatchObject({
      authorization: 'Bearer t0ken',
      'x-team': 'ops',
      accept: 'application/vnd.github+json',
      'x-github-api-version': '2022-11-28',
      'content-type': 'application/json',
      'user-agent': expect.stringMatching(/^dstc/),
    });
    expect(request?.headers).not.toHaveProperty('webhook-signature');
    expect(sent()).toEqual([
      {
        method: 'POST',
        path: '/repos/acme/shop/issues',
        body: {
          title: 'Task failed: email.send (SMTP_DOWN)',
          labels: ['dstc'],
          assignees: ['octocat'],
          body: expect.stringContaining(`| Task | \`${taskId}\` |`),
        },
      },
    ]);
  });

  it('holds what a worker said in a block of code that it cannot leave', async () => {
    receiver.answer = (_, response) => response.writeHead(201).end('{"number":1}');
    await deliver(format, { path });
    const body = firstBody<{ body: string }>();
    // The longest run of backticks in the words is three.
    expect(body.body).toContain(`\n\`\`\`\`text\n${nasty}\n\`\`\`\``);
    expect(body.body.split('````')).toHaveLength(3);
  });

  it('is reopened when the task fails again, and commented when it is redriven', async () => {
    await deliver(format, { path, externalId: '42' });
    await deliver(format, { path, externalId: '42', kind: 'task.redriven', data: { reason: 'try again' } });
    const comment = { method: 'POST', path: `${path}/issues/42/comments`, body: { body: expect.any(String) } };
    expect(sent()).toEqual([
      { method: 'PATCH', path: `${path}/issues/42`, body: { state: 'open', state_reason: 'reopened' } },
      comment,
      comment,
    ]);
  });

  it.each([
    ['task.succeeded', 'completed'],
    ['task.skipped', 'completed'],
    ['task.discarded', 'not_planned'],
  ])('is closed after %s as %s', async (kind, reason) => {
    expect(await deliver(format, { path, externalId: '42', kind, data: {} })).toMatchObject({ is: 'taken' });
    expect(sent()).toMatchObject([
      { method: 'PATCH', path: `${path}/issues/42`, body: { state: 'closed', state_reason: reason } },
      { method: 'POST', path: `${path}/issues/42/comments` },
    ]);
  });

  it('is left open when that is wished', async () => {
    await deliver({ ...format, keepOpen: true }, { path, externalId: '42', kind: 'task.succeeded', data: {} });
    expect(sent()).toMatchObject([{ method: 'POST', path: `${path}/issues/42/comments` }]);
  });

  it('is not looked for when none was opened', async () => {
    expect(await deliver(format, { path, kind: 'task.succeeded', data: {} })).toMatchObject({
      is: 'taken',
      status: null,
    });
    expect(receiver.requests).toEqual([]);
  });

  it('that was deleted is no failure, and no end of the webhook', async () => {
    receiver.answer = (_, response) => response.writeHead(410).end('{"message":"This issue was deleted"}');
    expect(await deliver(format, { path, externalId: '42' })).toMatchObject({
      is: 'taken',
      remark: expect.stringContaining('This issue was deleted'),
    });
    // A repository without issues is another thing.
    expect(await deliver(format, { path })).toMatchObject({ is: 'gone' });
  });

  it('is tried again when GitHub answers with a rate limit', async () => {
    receiver.answer = (_, response) => response.writeHead(403, { 'retry-after': '30' }).end('{"message":"secondary"}');
    expect(await deliver(format, { path })).toEqual({
      ...{ is: 'failed', status: 403, retryAfterMs: 30_000, error: 'HTTP 403: {"message":"secondary"}' },
    });
  });

  it('without a number in the answer stays without a name', async () => {
    receiver.answer = (_, response) => response.writeHead(201).end('<html>');
    expect(await deliver(format, { path })).toMatchObject({ is: 'taken', externalId: null });
  });
});

describe('a Jira issue', () => {
  const format: WebhookFormat = {
    ...{ kind: 'jira_issue', project: 'OPS', issueType: 'Bug', labels: ['dstc'] },
    ...{ doneTransition: '31', reopenTransition: '11' },
  };

  it('is created with a document in which words are only words', async () => {
    receiver.answer = (_, response) =>
      response
        .writeHead(201)
        .end(JSON.stringify({ id: '10000', key: 'OPS-24', self: 'https://x/rest/api/3/issue/10000' }));
    expect(await deliver(format)).toMatchObject({ is: 'taken', status: 201, externalId: 'OPS-24' });
    expect(sent()).toEqual([
      {
        method: 'POST',
        path: '/rest/api/3/issue',
        body: {
          fields: {
            project: { key: 'OPS' },
            issuetype: { name: 'Bug' },
            summary: 'Task failed: email.send',
            labels: ['dstc'],
            description: {
              type: 'doc',
              version: 1,
              content: [
                { type: 'paragraph', content: [expect.objectContaining({ text: 'Task failed: email.send' })] },
                { type: 'bulletList', content: expect.any(Array) },
                { type: 'codeBlock', content: [{ type: 'text', text: nasty }] },
              ],
            },
          },
        },
      },
    ]);
  });

  it('makes its transition and is commented when the task succeeds', async () => {
    await deliver(format, { externalId: 'OPS-24', kind: 'task.succeeded', data: {} });
    expect(sent()).toMatchObject([
      { path: '/rest/api/3/issue/OPS-24/transitions', body: { transition: { id: '31' } } },
      { path: '/rest/api/3/issue/OPS-24/comment', body: { body: { type: 'doc', version: 1 } } },
    ]);
  });

  it('is reopened when the task fails again, if a transition for that is set', async () => {
    await deliver(format, { externalId: 'OPS-24' });
    await deliver({ ...format, reopenTransition: '' }, { externalId: 'OPS-24' });
    expect(sent().map(({ path, body }) => (path.endsWith('transitions') ? body : path))).toEqual([
      { transition: { id: '11' } },
      '/rest/api/3/issue/OPS-24/comment',
      '/rest/api/3/issue/OPS-24/comment',
    ]);
  });

  it('that people have closed is commented all the same', async () => {
    receiver.answer = ({ path }, response) => {
      if (path.endsWith('/transitions')) response.writeHead(400).end('{"errorMessages":["not valid for this issue"]}');
      else response.writeHead(201).end('{"id":"1"}');
    };
    expect(await deliver(format, { externalId: 'OPS-24', kind: 'task.succeeded', data: {} })).toEqual({
      ...{ is: 'taken', status: 201, externalId: null },
      remark: 'HTTP 400: {"errorMessages":["not valid for this issue"]}',
    });
    expect(receiver.requests).toHaveLength(2);
  });
});

describe('a pipeline', () => {
  it('of GitHub Actions is started with the inputs that were set, and none that people wrote', async () => {
    const inputs = { task: '{task_id}', why: '{event_type} {error_code} after {attempt}', fixed: 'yes' };
    await deliver(
      { kind: 'github_actions', workflow: 'repair.yml', ref: 'main', inputs },
      { path: '/repos/acme/shop' },
    );
    expect(sent()).toEqual([
      {
        method: 'POST',
        path: '/repos/acme/shop/actions/workflows/repair.yml/dispatches',
        body: { ref: 'main', inputs: { task: taskId, why: 'dstc.task.failed.v1 SMTP_DOWN after 3', fixed: 'yes' } },
      },
    ]);
  });

  it('of GitHub Actions is started by a repository dispatch with at most ten properties', async () => {
    await deliver({ kind: 'github_actions', workflow: '', ref: '', inputs: {} }, { path: '/repos/acme/shop/' });
    const body = firstBody<{ event_type: string; client_payload: Record<string, unknown> }>();
    expect(receiver.requests[0]?.path).toBe('/repos/acme/shop/dispatches');
    expect(body.event_type).toBe('dstc.task.failed.v1');
    expect(body.client_payload).toMatchObject({ task_id: taskId, task_type: 'email.send', attempt: 3 });
    expect(Object.keys(body.client_payload).length).toBeLessThanOrEqual(10);
    expect(JSON.stringify(body)).not.toContain('channel');
  });

  it('of GitLab CI is triggered with its token and variables', async () => {
    receiver.answer = (_, response) => response.writeHead(201).end('{"id":257,"status":"created"}');
    const format: WebhookFormat = { kind: 'gitlab_pipeline', ref: 'main', token: 'glptt-1', variables: {} };
    const path = '/api/v4/projects/4711';
    expect(await deliver(format, { path })).toMatchObject({ is: 'taken', status: 201 });
    await deliver({ ...format, variables: { WHAT: '{task_type}@{namespace}' } }, { path });
    const [byDefault, own] = sent();
    expect(byDefault).toEqual({
      method: 'POST',
      path: '/api/v4/projects/4711/trigger/pipeline',
      body: {
        token: 'glptt-1',
        ref: 'main',
        variables: {
          DSTC_EVENT_ID: `${taskId}:4`,
          DSTC_EVENT_TYPE: 'dstc.task.failed.v1',
          DSTC_TASK_ID: taskId,
          DSTC_TASK_TYPE: 'email.send',
        },
      },
    });
    expect(own).toMatchObject({ body: { variables: { WHAT: 'email.send@default' } } });
  });
});

describe('a message', () => {
  it('in Slack has blocks within their limits, and mentions nobody', async () => {
    receiver.answer = (_, response) => response.writeHead(200).end('ok');
    const data = { error: { code: 'A*B', message: nasty.repeat(100) } };
    expect(await deliver({ kind: 'slack' }, { path: '/services/T/B/x', data })).toMatchObject({ is: 'taken' });
    const body = firstBody<SlackBody>();
    expect(receiver.requests[0]?.path).toBe('/services/T/B/x');
    expect(body.text).toBe('Task failed: email.send');
    const [header, section, words] = body.blocks;
    expect(header).toMatchObject({ type: 'header', text: { type: 'plain_text', text: 'Task failed: email.send' } });
    expect(section?.fields?.length).toBeLessThanOrEqual(10);
    // No character that Slack would read stands bare in what is marked up.
    for (const { text } of section?.fields ?? []) expect(text.replace(/&(amp|lt|gt);/g, '')).not.toMatch(/[<>&]/);
    expect(section?.fields?.map(({ text }) => text)).toContain('*Error*\nA\u200b*\u200bB');
    // What a worker wrote stands only where nothing is read.
    expect(words).toMatchObject({ type: 'rich_text', elements: [{ type: 'rich_text_preformatted' }] });
    expect(JSON.stringify(body.blocks).split('<!channel>').length - 1).toBeGreaterThan(0);
    expect(JSON.stringify([header, section])).not.toContain('<!channel>');
    expect([...(words?.elements?.[0]?.elements[0]?.text ?? '')].length).toBeLessThan(3_000);
  });

  it('in Teams is an Adaptive Card of runs of text, which have no Markdown, below 28 KB', async () => {
    receiver.answer = (_, response) => response.writeHead(202).end();
    const data = { error: { code: 'X', message: nasty.repeat(1_000) } };
    expect(await deliver({ kind: 'teams' }, { data })).toMatchObject({ is: 'taken', status: 202 });
    const body = firstBody<TeamsBody>();
    expect(body).toMatchObject({
      type: 'message',
      attachments: [
        {
          contentType: 'application/vnd.microsoft.card.adaptive',
          contentUrl: null,
          content: { type: 'AdaptiveCard', $schema: expect.any(String), version: '1.4' },
        },
      ],
    });
    const blocks = body.attachments[0]?.content.body ?? [];
    expect(new Set(blocks.map(({ type }) => type))).toEqual(new Set(['RichTextBlock']));
    expect(Buffer.byteLength(receiver.requests[0]?.body ?? '')).toBeLessThan(28 * 1024);
  });

  it('is written for events of every kind, also for those that are not known here yet', async () => {
    for (const kind of ['circuit.opened', 'namespace.paused', 'webhook.test', 'task.exploded']) {
      await deliver({ kind: 'slack' }, { kind, data: {} });
    }
    expect(sent().map(({ body }) => (body as SlackBody).text)).toEqual([
      'Circuit was opened: email.send',
      'Namespace was paused: email.send',
      'This is a test of a webhook: email.send',
      'dstc.task.exploded.v1: email.send',
    ]);
  });
});

interface SlackBody {
  readonly text: string;
  readonly blocks: readonly {
    readonly type: string;
    readonly fields?: readonly { readonly text: string }[];
    readonly elements?: readonly { readonly elements: readonly { readonly text: string }[] }[];
  }[];
}

interface TeamsBody {
  readonly attachments: readonly { readonly content: { readonly body: readonly { readonly type: string }[] } }[];
}

test('an event with nothing in it is told, too', async () => {
  for (const kind of ['github_issue', 'jira_issue', 'slack', 'teams'] as const) {
    const format = { kind, labels: [], assignees: [], keepOpen: false, project: 'A', issueType: 'B' };
    const whole = { ...format, doneTransition: '', reopenTransition: '' } as WebhookFormat;
    expect(await deliver(whole, { data: { task: undefined } })).toMatchObject({ is: 'taken' });
  }
});
