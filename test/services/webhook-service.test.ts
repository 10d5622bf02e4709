import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampDate } from '@bufbuild/protobuf/wkt';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { WebhookCircuitState, type WebhookSchema } from '@dstc/contract/dstc/v1/webhook_pb';
import { WebhookService } from '@dstc/contract/dstc/v1/webhook_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HttpReceiver, startHttpReceiver } from '../setup/http-receiver.ts';
import { type Expected, fieldInvalid } from './bad-input/bad-call.ts';
import { expectRefused } from './refused.ts';
import { doorNames, type Rig, startRig, type Who } from './rig.ts';

const { createWebhook, updateWebhook, getWebhook, listWebhooks, deleteWebhook } = WebhookService.method;
const { rotateWebhookSecret, testWebhook, listWebhookDeliveries, replayWebhookDeliveries } = WebhookService.method;

type WebhookInit = Exclude<MessageInitShape<typeof WebhookSchema>, { $typeName: string }>;

interface Which {
  readonly id: string;
  readonly namespace?: string;
}

let rig: Rig;
let receiver: HttpReceiver;
beforeAll(async () => {
  receiver = await startHttpReceiver();
  rig = await startRig({ DSTC_WEBHOOK_ALLOW_HTTP: 'true', DSTC_WEBHOOK_ALLOW_NETWORKS: '127.0.0.1, fd00::/8' });
  for (const name of ['a.plain', 'b.plain']) {
    await rig.doors.gRPC.call(TaskTypeService.method.applyTaskType, { taskType: { name } }, rig.token('root'));
  }
});
afterAll(async () => {
  await rig.stop();
  await receiver.stop();
});

const url = 'https://hooks.example.com/dstc';
const ofA = { taskTypes: ['a.plain'] };
const nobodys = '01890a5d-ac96-774b-bcce-b302099a8057';

describe.each(doorNames)('over %s', (doorName) => {
  const door = () => rig.doors[doorName];
  const refused = (call: () => Promise<unknown>, expected: Expected) => expectRefused(rig, doorName, call, expected);
  const denied = (metadata: Record<string, string>) => ({
    code: 'PermissionDenied',
    reason: 'PERMISSION_MISSING',
    metadata,
  });
  const missing = (id: string) => ({ code: 'NotFound', reason: 'WEBHOOK_NOT_FOUND', metadata: { webhook_id: id } });

  async function created(webhook: WebhookInit = {}, who: Who = 'root') {
    const { webhook: made, secret } = await door().call(
      createWebhook,
      { webhook: { url, ...webhook } },
      rig.token(who),
    );
    if (made === undefined) throw new Error('a webhook was created without an answer');
    return { ...made, secret };
  }

  it('a webhook is created, read, listed, changed and deleted', async () => {
    const made = await created({ description: 'for „ops“', filter: { ...ofA, labels: { a: '1' } } }, 'alice');
    expect(made).toMatchObject({
      namespace: 'default',
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      description: 'for „ops“',
      url,
      filter: { taskTypes: ['a.plain'], labels: { a: '1' } },
      format: { case: undefined },
      disabled: false,
      creator: expect.stringContaining('alice@'),
      status: { circuit: WebhookCircuitState.CLOSED, failures: 0, pending: 0, deadLetters: 0 },
      secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
    });
    const { id } = made;
    const { webhook: read } = await door().call(getWebhook, { id: id.toUpperCase() }, rig.token('alice'));
    expect(read).toMatchObject({ id, etag: made.etag });
    const { webhooks } = await door().call(listWebhooks, {}, rig.token('alice'));
    expect(webhooks.map((webhook) => webhook.id)).toContain(id);
    const change = { url: `${url}/2`, filter: ofA, disabled: true, id, etag: made.etag };
    const { webhook: changed } = await door().call(updateWebhook, { webhook: change }, rig.token('alice'));
    expect(changed).toMatchObject({ url: `${url}/2`, description: '', disabled: true, disabledReason: '' });
    expect(changed?.etag).not.toBe(made.etag);
    await refused(() => door().call(updateWebhook, { webhook: change }, rig.token('alice')), {
      ...{ code: 'Aborted', reason: 'ETAG_MISMATCH', metadata: { webhook_id: id } },
    });
    await refused(() => door().call(deleteWebhook, { id, etag: made.etag }, rig.token('alice')), {
      ...{ code: 'Aborted', reason: 'ETAG_MISMATCH', metadata: { webhook_id: id } },
    });
    await door().call(deleteWebhook, { id }, rig.token('alice'));
    await refused(() => door().call(getWebhook, { id }, rig.token('alice')), missing(id));
  });

  it('secrets are never shown again, and stay when an update leaves them empty', async () => {
    const made = await created({
      secretHeaders: { Authorization: 'Bearer s3cret-1' },
      format: { case: 'gitlabPipeline', value: { ref: 'main', token: 's3cret-2' } },
    });
    const { id } = made;
    const answers = [
      await door().call(getWebhook, { id }, rig.token('root')),
      await door().call(listWebhooks, {}, rig.token('root')),
      await door().call(updateWebhook, { webhook: { ...made, description: 'new' } }, rig.token('root')),
      await door()
        .call(rotateWebhookSecret, { id }, rig.token('root'))
        .then(({ webhook }) => webhook),
    ];
    expect(JSON.stringify([{ ...made, secret: '' }, answers], withBigInts)).not.toContain('s3cret');
    expect(made.secretHeaders).toEqual({ Authorization: '' });
    expect(await secretsOf(id)).toEqual({ headers: { Authorization: 'Bearer s3cret-1' }, token: 's3cret-2' });
  });

  it.each([
    ['another origin', 'https://evil.example.com/dstc'],
    ['another path', 'https://hooks.example.com/evil'],
    ['another query', 'https://hooks.example.com/dstc?to=evil'],
  ])('secrets do not go to %s unless they are given anew', async (_, elsewhereUrl) => {
    const made = await created({ secretHeaders: { authorization: 'Bearer s3cret' } });
    const elsewhere = { ...made, url: elsewhereUrl, etag: '' };
    const refusal = await refused(
      () => door().call(updateWebhook, { webhook: elsewhere }, rig.token('root')),
      fieldInvalid('webhook.secret_headers["authorization"]'),
    );
    expect(refusal.message).toContain('must be given anew with another URL');
    const known = { ...elsewhere, secretHeaders: { authorization: 'Bearer other' } };
    await door().call(updateWebhook, { webhook: known }, rig.token('root'));
    expect(await secretsOf(made.id)).toMatchObject({ headers: { authorization: 'Bearer other' } });
  });

  it('a failure does not tell the secrets that an endpoint repeats', async () => {
    const { id, secret } = await created({
      url: `${receiver.url}/echo`,
      secretHeaders: { authorization: 'Bearer T0PS3CRET', 'x-key': 'K3"Y/' },
    });
    receiver.answer = ({ headers }, response) => {
      const sent = { authorization: headers.authorization, 'x-key': headers['x-key'] };
      response.writeHead(500).end(`T0PS3CRET ${JSON.stringify(sent)} ${encodeURIComponent('K3"Y/')} ${secret}`);
    };
    expect(await door().call(testWebhook, { id }, rig.token('root'))).toMatchObject({
      error: 'HTTP 500: … {"authorization":"…","x-key":"…"} … whsec_…',
    });
    receiver.answer = (_, response) => response.writeHead(302, { location: '/?token=T0PS3CRET' }).end();
    expect(await door().call(testWebhook, { id }, rig.token('root'))).toMatchObject({
      error: 'HTTP 302: redirects are not followed; set the URL that this one leads to: /?token=…',
    });
  });

  it('a format is kept as it was set, with its defaults', async () => {
    const formats: readonly NonNullable<WebhookInit['format']>[] = [
      { case: 'githubIssue', value: { labels: ['dstc'], assignees: ['octocat'], keepOpen: true } },
      { case: 'jiraIssue', value: { project: 'OPS', labels: ['x'], doneTransition: '31', reopenTransition: '' } },
      { case: 'githubActions', value: { workflow: 'a.yml', ref: 'main', inputs: { task: '{task_id}' } } },
      { case: 'gitlabPipeline', value: { ref: 'main', token: 't', variables: { A: '{event_id}' } } },
      { case: 'slack', value: {} },
      { case: 'teams', value: {} },
    ];
    for (const format of formats) {
      const { id } = await created({ format });
      const { webhook } = await door().call(getWebhook, { id }, rig.token('root'));
      const expected =
        format.case === 'jiraIssue'
          ? { ...format.value, issueType: 'Task' }
          : format.case === 'gitlabPipeline'
            ? { ...format.value, token: '' }
            : format.value;
      expect(webhook?.format).toMatchObject({ case: format.case, value: expected });
      await door().call(deleteWebhook, { id }, rig.token('root'));
    }
  });

  it('a rotation shows another secret, and until when the old one is good', async () => {
    const { id, secret, etag } = await created();
    const before = Date.now();
    const rotated = await door().call(rotateWebhookSecret, { id, overlap: { seconds: 3_600n } }, rig.token('root'));
    expect(rotated.secret).toMatch(/^whsec_/);
    expect(rotated.secret).not.toBe(secret);
    const expires = rotated.webhook?.status?.previousSecretExpireTime;
    expect(expires && timestampDate(expires).getTime()).toBeGreaterThan(before + 3_500_000);
    expect(rotated.webhook?.etag).toBe(etag);
    const again = await door().call(rotateWebhookSecret, { id, overlap: {} }, rig.token('root'));
    expect(again.webhook?.status?.previousSecretExpireTime).toBeUndefined();
  });

  it('a test tells what the endpoint answered, and is no delivery', async () => {
    const { id } = await created({ url: `${receiver.url}/${doorName.length}`, disabled: true });
    receiver.answer = (_, response) => response.writeHead(200).end('thanks');
    const taken = await door().call(testWebhook, { id }, rig.token('root'));
    expect(taken).toMatchObject({ succeeded: true, responseStatus: 200, error: '' });
    const request = receiver.requests.at(-1);
    expect(JSON.parse(request?.body ?? '')).toMatchObject({
      ...{ specversion: '1.0', id: taken.eventId, type: 'dstc.webhook.test.v1', subject: id, namespace: 'default' },
    });
    expect(request?.headers).toMatchObject({ 'webhook-id': taken.eventId, 'webhook-signature': expect.any(String) });
    receiver.answer = (_, response) => response.writeHead(410).end('go away');
    expect(await door().call(testWebhook, { id }, rig.token('root'))).toMatchObject({
      ...{ succeeded: false, responseStatus: 410, error: 'HTTP 410: go away' },
    });
    const { webhook } = await door().call(getWebhook, { id }, rig.token('root'));
    expect(webhook).toMatchObject({ disabledReason: '', status: { failures: 0, pending: 0 } });
    const { deliveries } = await door().call(listWebhookDeliveries, { id }, rig.token('root'));
    expect(deliveries).toEqual([]);
  });

  describe('a caller', () => {
    const rpcs = {
      GetWebhook: (which: Which, who: Who) => door().call(getWebhook, which, rig.token(who)),
      UpdateWebhook: (which: Which, who: Who) =>
        door().call(updateWebhook, { webhook: { ...which, url: 'nonsense', filter: ofA } }, rig.token(who)),
      DeleteWebhook: (which: Which, who: Who) => door().call(deleteWebhook, which, rig.token(who)),
      RotateWebhookSecret: (which: Which, who: Who) => door().call(rotateWebhookSecret, which, rig.token(who)),
      TestWebhook: (which: Which, who: Who) => door().call(testWebhook, which, rig.token(who)),
      ListWebhookDeliveries: (which: Which, who: Who) => door().call(listWebhookDeliveries, which, rig.token(who)),
      ReplayWebhookDeliveries: (which: Which, who: Who) =>
        door().call(replayWebhookDeliveries, { ...which, which: { case: 'deadLetters', value: true } }, rig.token(who)),
    };

    it.each(Object.entries(rpcs))(
      'does not find by %s what is of types that it may not configure',
      async (name, call) => {
        const foreign = await created({ filter: { taskTypes: ['a.plain', 'b.plain'] } });
        const all = await created();
        for (const id of [foreign.id, all.id, nobodys]) await refused(() => call({ id }, 'alice'), missing(id));
        // Who may configure everything of another namespace finds nothing of this one in it.
        await refused(() => call({ id: all.id, namespace: 'elsewhere' }, 'stranger'), missing(all.id));
        // Before the webhook of an update is read, it is only known that the caller may configure something somewhere.
        const namespace = name === 'UpdateWebhook' ? {} : { namespace: 'default' };
        await refused(() => call({ id: foreign.id }, 'clerk'), denied({ permission: 'configure', ...namespace }));
      },
    );

    it.each(Object.entries(rpcs))('does not find by %s what only operators may have', async (_name, call) => {
      for (const types of [['dstc.worker_session.*'], ['dstc.task.*', 'dstc.namespace.paused.v1']]) {
        const { id } = await created({ filter: { types } });
        await refused(() => call({ id }, 'keeper'), missing(id));
        const { webhooks } = await door().call(listWebhooks, { pageSize: 100 }, rig.token('keeper'));
        expect(webhooks.map((webhook) => webhook.id)).not.toContain(id);
        await door().call(deleteWebhook, { id }, rig.token('root'));
      }
    });

    it('sees only its own in a list, page by page', async () => {
      await created({ filter: { taskTypes: ['b.plain'] } });
      const mine = [await created({ filter: ofA }, 'alice'), await created({ filter: ofA }, 'alice')];
      const seen: string[] = [];
      let pageToken = '';
      do {
        const page = await door().call(listWebhooks, { pageSize: 1, pageToken }, rig.token('alice'));
        expect(page.webhooks.length).toBeLessThanOrEqual(1);
        expect(page.webhooks.every(({ filter }) => filter?.taskTypes.every((type) => type === 'a.plain'))).toBe(true);
        seen.push(...page.webhooks.map(({ id }) => id));
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
      expect(seen).toEqual(expect.arrayContaining(mine.map(({ id }) => id)));
      expect(new Set(seen).size).toBe(seen.length);
    });

    it('creates none, and changes none into one, that it could not see', async () => {
      const onAll = denied({ permission: 'configure', namespace: 'default', task_type: '*' });
      await refused(() => created({}, 'alice'), onAll);
      await refused(
        () => created({ filter: { taskTypes: ['b.plain'] } }, 'alice'),
        denied({ permission: 'configure', namespace: 'default', task_type: 'b.plain' }),
      );
      const { id } = await created({ filter: ofA }, 'alice');
      await refused(() => door().call(updateWebhook, { webhook: { id, url } }, rig.token('alice')), onAll);
      for (const type of ['dstc.worker_session.*', 'dstc.worker_session*', 'dstc.n*']) {
        await refused(
          () => created({ filter: { types: [type] } }, 'keeper'),
          denied({ permission: 'operate', namespace: 'default', task_type: '*' }),
        );
      }
      await created({ filter: { types: ['dstc.*', 'dstc.t*'] } }, 'keeper');
    });
  });

  const bad: readonly (readonly [title: string, webhook: WebhookInit, field: string])[] = [
    ['no URL', { url: '' }, 'webhook.url'],
    ['a URL that is none', { url: 'hooks.example.com' }, 'webhook.url'],
    ['a URL of another protocol', { url: 'ftp://hooks.example.com/' }, 'webhook.url'],
    ['a file', { url: 'file:///etc/passwd' }, 'webhook.url'],
    ['a password in its URL', { url: 'https://me:secret@hooks.example.com/' }, 'webhook.url'],
    ['a fragment in its URL', { url: 'https://hooks.example.com/#a' }, 'webhook.url'],
    ['a line break in its URL', { url: 'https://hooks.example.com/\r\nx: y' }, 'webhook.url'],
    ['a private address', { url: 'https://10.0.0.1/' }, 'webhook.url'],
    ['a metadata service', { url: 'http://169.254.169.254/latest/meta-data' }, 'webhook.url'],
    ['an IPv4 address in IPv6', { url: 'https://[::ffff:10.0.0.1]/' }, 'webhook.url'],
    ['a local address in octal', { url: 'https://0177.0.0.2/' }, 'webhook.url'],
    ['a local address as a number', { url: 'https://2130706434/' }, 'webhook.url'],
    ['an id of its own', { id: nobodys }, 'webhook.id'],
    ['a type that no event has', { filter: { types: ['dstc.task.exploded.v1'] } }, 'webhook.filter.types[0]'],
    [
      'a type that no webhook gets',
      { filter: { types: ['dstc.task.*', 'dstc.policy.changed.v1'] } },
      'webhook.filter.types[1]',
    ],
    ['a beginning of such types alone', { filter: { types: ['dstc.p*'] } }, 'webhook.filter.types[0]'],
    [
      'labels of events that are not of tasks',
      { filter: { types: ['dstc.circuit.*', 'dstc.namespace.*'], labels: { a: '1' } } },
      'webhook.filter.types',
    ],
    [
      'the id of a task and no event of one',
      { filter: { types: ['dstc.task_type.*'], taskIds: [nobodys] } },
      'webhook.filter.types',
    ],
    [
      'task types of events that concern none',
      { filter: { ...ofA, types: ['dstc.worker_session.*'] } },
      'webhook.filter.types',
    ],
    ['a host header', { headers: { Host: 'other' } }, 'webhook.headers["Host"]'],
    ['a signature of its own', { headers: { 'webhook-signature': 'v1,x' } }, 'webhook.headers["webhook-signature"]'],
    ['a hop-by-hop header', { headers: { 'Transfer-Encoding': 'x' } }, 'webhook.headers["Transfer-Encoding"]'],
    ['a line break in a header', { headers: { a: 'b\r\nc: d' } }, 'webhook.headers["a"]'],
    ['a colon in the name of a header', { headers: { 'a: b': 'c' } }, 'webhook.headers["a: b"]'],
    ['a header twice', { headers: { a: '1' }, secretHeaders: { A: '2' } }, 'webhook.secret_headers["A"]'],
    ['an empty secret', { secretHeaders: { authorization: '' } }, 'webhook.secret_headers["authorization"]'],
    ['an empty token', { format: { case: 'gitlabPipeline', value: { ref: 'main' } } }, 'webhook.gitlab_pipeline.token'],
    [
      'a workflow without a ref',
      { format: { case: 'githubActions', value: { workflow: 'a' } } },
      'webhook.github_actions',
    ],
    [
      'a placeholder that means nothing',
      { format: { case: 'githubActions', value: { workflow: 'a', ref: 'b', inputs: { x: '{error_message}' } } } },
      'webhook.github_actions.inputs["x"]',
    ],
    [
      'a project that is none',
      { format: { case: 'jiraIssue', value: { project: 'a/b' } } },
      'webhook.jira_issue.project',
    ],
  ];

  it.each(bad)('refuses a webhook with %s', async (_, webhook, field) => {
    await refused(() => created(webhook), fieldInvalid(field));
  });

  it('refuses an update to a filter that lets nothing through', async () => {
    const { id } = await created();
    const webhook = { id, url, filter: { types: ['dstc.policy.*'] } };
    await refused(
      () => door().call(updateWebhook, { webhook }, rig.token('root')),
      fieldInvalid('webhook.filter.types[0]'),
    );
  });

  it.each(['http://127.0.0.1:8080/', 'http://localhost:9000/', 'https://[fd00::1]/', 'http://[::ffff:127.0.0.1]/'])(
    'takes %s, which its operator allows',
    async (allowed) => {
      const { id } = await created({ url: allowed });
      await door().call(deleteWebhook, { id }, rig.token('root'));
    },
  );
});

it('refuses plain HTTP and local addresses, with the setting that allows them, when nothing is set', async () => {
  const strict = await startRig();
  try {
    for (const [refusedUrl, setting] of [
      ['http://hooks.example.com/', 'DSTC_WEBHOOK_ALLOW_HTTP'],
      ['https://127.0.0.1/', 'DSTC_WEBHOOK_ALLOW_NETWORKS'],
      ['https://localhost:8443/', 'DSTC_WEBHOOK_ALLOW_NETWORKS'],
      ['https://[::1]/', 'DSTC_WEBHOOK_ALLOW_NETWORKS'],
    ] as const) {
      const call = strict.doors.gRPC.call(createWebhook, { webhook: { url: refusedUrl } }, strict.token('root'));
      await expect(call).rejects.toThrow(setting);
    }
  } finally {
    await strict.stop();
  }
});

it('keeps a namespace from having more than a hundred', async () => {
  const create = (namespace: string) =>
    rig.doors.gRPC.call(createWebhook, { webhook: { url, namespace } }, rig.token('root'));
  for (let count = 0; count < 100; count += 1) await create('full');
  await expectRefused(rig, 'gRPC', () => create('full'), {
    ...{ code: 'ResourceExhausted', reason: 'LIMIT_REACHED', metadata: { namespace: 'full', limit: '100' } },
  });
  await create('other');
});

async function secretsOf(id: string) {
  const [row] =
    await rig.sql`SELECT secret_headers AS headers, format->>'token' AS token FROM webhook WHERE id = ${id}`;
  return { ...row };
}

function withBigInts(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
