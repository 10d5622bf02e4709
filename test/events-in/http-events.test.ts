// biome-ignore-all lint/suspicious/noTemplateCurlyInString: templates are what is tested.
import { EventRuleService } from '@dstc/contract/dstc/v1/event_rule_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../services/rig.ts';
import { orderPlaced, post, postBatch, postEvent } from './post-event.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig({ DSTC_PAYLOAD_BYTES_MAX: '100000' });
  const { applyTaskType } = TaskTypeService.method;
  const types = [
    { name: 'a.invoice' },
    { name: 'a.raw' },
    { name: 'a.narrow', limits: { queueMax: 1 } },
    { name: 'a.strict', inputSchema: { type: 'object', required: ['total'] } },
  ];
  for (const taskType of types) await rig.doors.gRPC.call(applyTaskType, { taskType }, rig.token('root'));
  const rules = [
    {
      name: 'invoice',
      eventType: 'com.example.order.*',
      eventSource: '/shop/*',
      condition: 'event.type != "com.example.order.draft"',
      taskType: 'a.invoice',
      input: jsonValue({ order: '${event.data.order}', note: 'order ${event.id} of ${event.source}' }),
      labels: { total: '${event.data.total}' },
    },
    { name: 'raw', eventType: 'com.example.raw', taskType: 'a.raw' },
    { name: 'narrow', eventType: 'com.example.narrow', taskType: 'a.narrow' },
    { name: 'strict', eventType: 'com.example.strict', taskType: 'a.strict' },
  ];
  for (const rule of rules)
    await rig.doors.gRPC.call(EventRuleService.method.applyEventRule, { rule }, rig.token('root'));
});
afterAll(() => rig.stop());

/** The only task of an answer, as it is stored. */
async function storedTask(json: { event: { rules: { taskId: string }[] } }) {
  expect(json.event.rules).toHaveLength(1);
  const [task] = await rig.sql`SELECT * FROM task WHERE id = ${json.event.rules[0]?.taskId ?? ''}`;
  return task;
}

describe('an event becomes the task that its rule makes of it', () => {
  it('in structured mode', async () => {
    const { status, json } = await postEvent(rig, orderPlaced('s-1'));
    expect(status).toBe(200);
    expect(json).toEqual({
      event: {
        disposition: 'EVENT_DISPOSITION_SUBMITTED',
        rules: [{ rule: 'invoice', taskType: 'a.invoice', taskId: expect.any(String), alreadyExisted: false }],
      },
    });
    const task = await storedTask(json);
    expect(JSON.parse(task?.input)).toEqual({ order: 's-1', note: 'order s-1 of /shop/orders' });
    expect(task).toMatchObject({ labels: { total: '12.5' }, creator: expect.stringMatching(/^root@/) });
  });

  it('in binary mode, with headers percent-encoded or quoted', async () => {
    const headers = {
      'content-type': 'application/json; charset=utf-8',
      'ce-specversion': '1.0',
      'ce-id': '%C3%A4%20%F0%9F%98%80%25',
      'ce-source': '/shop/orders',
      'ce-type': '"com.example.order.placed"',
      'ce-time': '2026-01-31T12:00:00.123456789+01:00',
      'ce-traceparent': '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    };
    const { status, json } = await post(rig, '{"order":"b","total":1}', { headers });
    expect({ status, json }).toMatchObject({ status: 200 });
    const task = await storedTask(json);
    expect(JSON.parse(task?.input)).toEqual({ order: 'b', note: 'order ä 😀% of /shop/orders' });
    expect(task?.trace_parent).toBe('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
  });

  it('in binary mode with any content, which is the input as it is when the rule has no template', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, at) => at);
    const headers = {
      'content-type': 'image/png',
      'ce-specversion': '1.0',
      'ce-id': 'bytes',
      'ce-source': '/camera',
      'ce-type': 'com.example.raw',
    };
    const task = await storedTask((await post(rig, bytes, { headers })).json);
    expect(task).toMatchObject({ input_content_type: 'image/png' });
    expect(Buffer.compare(task?.input, bytes)).toBe(0);
  });

  it.each([
    ['data_base64', { data: undefined, data_base64: 'AAEC', datacontenttype: 'application/octet-stream' }, 'AAEC'],
    ['text', { data: 'hällo', datacontenttype: 'text/plain' }, Buffer.from('hällo').toString('base64')],
    [
      'JSON of another name',
      { data: { a: 1 }, datacontenttype: 'application/x+json' },
      Buffer.from('{"a":1}').toString('base64'),
    ],
    ['null', { data: null }, Buffer.from('null').toString('base64')],
    ['none', { data: undefined }, ''],
  ])('with data that is %s', async (name, changes, base64) => {
    const event = orderPlaced(`data-${name}`, { type: 'com.example.raw', ...changes });
    const task = await storedTask((await postEvent(rig, event)).json);
    expect(task?.input.toString('base64')).toBe(base64);
  });

  it('in a batch, each with a result of its own; one that is wrong fails alone', async () => {
    const events = [
      orderPlaced('batch-1'),
      orderPlaced('batch-2', { id: '' }),
      'no event',
      [orderPlaced('nested')],
      orderPlaced('batch-3', { type: 'com.example.unknown' }),
      orderPlaced('batch-4', { type: 'com.example.strict', data: {} }),
      orderPlaced('batch-1'),
      orderPlaced('batch-1', { data: { order: 'other', total: 1 } }),
    ];
    const { status, json } = await postBatch(rig, events);
    expect(status).toBe(200);
    const outline = json.results.map(
      ({ index, event, error }: { index: number; event?: { disposition: string }; error?: { reason: string } }) =>
        `${index} ${event?.disposition ?? error?.reason}`,
    );
    expect(outline.slice(1, 6)).toEqual([
      '1 ERROR_REASON_FIELD_INVALID',
      '2 ERROR_REASON_FIELD_INVALID',
      '3 ERROR_REASON_FIELD_INVALID',
      '4 EVENT_DISPOSITION_IGNORED',
      '5 ERROR_REASON_INPUT_INVALID',
    ]);
    // Of the three with one id, those that say the same are one task, whichever came first.
    const same = [json.results[0], json.results[6]].map(({ event }) => event?.rules[0].taskId);
    expect(new Set(same).size).toBe(1);
    const [{ tasks }] = await rig.sql<[{ tasks: number }]>`
      SELECT count(*)::int AS tasks FROM task WHERE type = 'a.invoice' AND convert_from(input, 'UTF8') LIKE '%order batch-1 %'`;
    expect(tasks).toBe(1);
  });

  it('in a batch of none', async () => {
    expect(await postBatch(rig, [])).toMatchObject({ status: 200, json: { results: [] } });
  });
});

describe('an event that is sent again', () => {
  it('is the same task, whatever its form, its time and its trace', async () => {
    const first = await postEvent(rig, orderPlaced('again'));
    const again = await postEvent(rig, orderPlaced('again', { time: '2026-01-31T12:00:00Z', sampledrate: 3 }));
    const headers = {
      'content-type': 'application/json',
      'ce-specversion': '1.0',
      'ce-id': 'again',
      'ce-source': '/shop/orders',
      'ce-type': 'com.example.order.placed',
    };
    const binary = await post(rig, '{ "items": ["pen"], "total": 12.5, "order": "again" }', { headers });
    for (const { json } of [again, binary]) {
      expect(json.event.rules).toEqual([{ ...first.json.event.rules[0], alreadyExisted: true }]);
    }
  });

  it.each([
    ['data', { data: { order: 'other', total: 1 } }],
    ['type', { type: 'com.example.order.paid' }],
    ['subject', { subject: 'other' }],
  ])('with another %s is refused', async (name, changes) => {
    await postEvent(rig, orderPlaced(`conflict-${name}`));
    const { status, reason, json } = await postEvent(rig, orderPlaced(`conflict-${name}`, changes));
    expect({ status, reason }).toEqual({ status: 409, reason: 'IDEMPOTENCY_CONFLICT' });
    expect(json.message).toMatch(/^an event with this source and id came before with other content/);
  });

  it('by somebody else is refused', async () => {
    await postEvent(rig, orderPlaced('mine'));
    expect(await postEvent(rig, orderPlaced('mine'), { who: 'planner' })).toMatchObject({
      status: 409,
      reason: 'IDEMPOTENCY_CONFLICT',
    });
  });

  it('of another source is another event', async () => {
    const ids = await Promise.all(
      ['/shop/a', '/shop/b'].map(async (source) => {
        const { json } = await postEvent(rig, orderPlaced('source', { source }));
        return json.event.rules[0].taskId;
      }),
    );
    expect(new Set(ids).size).toBe(2);
  });

  it('by many at once makes one task', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => postEvent(rig, orderPlaced('many'))));
    const rules = answers.map(({ json }) => json.event.rules[0]);
    expect(new Set(rules.map(({ taskId }) => taskId)).size).toBe(1);
    expect(rules.filter(({ alreadyExisted }) => !alreadyExisted)).toHaveLength(1);
  });
});

it.each([
  ['a type that no rule is for', { type: 'com.example.unknown' }],
  ['a source that no rule is for', { source: '/warehouse' }],
  ['a condition that is not true', { type: 'com.example.order.draft' }],
])('ignores an event of %s', async (_, changes) => {
  const before = await rig.rowCounts();
  const { status, json } = await postEvent(rig, orderPlaced('ignored', changes));
  expect({ status, json }).toEqual({
    status: 200,
    json: { event: { disposition: 'EVENT_DISPOSITION_IGNORED', rules: [] } },
  });
  expect(await rig.rowCounts()).toEqual(before);
});

it('tells the sender when to send again what cannot be taken now, as a repeat makes one task', async () => {
  const event = (id: string) => orderPlaced(id, { type: 'com.example.narrow' });
  expect(await postEvent(rig, event('1'))).toMatchObject({ status: 200 });
  const answer = await postEvent(rig, event('2'));
  expect(answer).toMatchObject({ status: 429, reason: 'QUEUE_FULL', retryAfter: expect.stringMatching(/^[1-9]/) });
});

describe('an event that is none is refused, and nothing is stored', () => {
  const good = {
    'content-type': 'application/json',
    'ce-specversion': '1.0',
    'ce-id': '1',
    'ce-source': '/shop/orders',
    'ce-type': 'com.example.order.placed',
  };

  it.each<[string, object, string[]]>([
    ['no id', { id: undefined }, ['id']],
    ['an empty id', { id: '' }, ['id']],
    ['an id that is a number', { id: 7 }, ['id']],
    ['a long id', { id: 'x'.repeat(1_025) }, ['id']],
    ['NUL in its id', { id: 'a\0' }, ['id']],
    ['half a character in its id', { id: '\ud800' }, ['id']],
    ['what is no character in its subject', { subject: '\uffff' }, ['subject']],
    ['no source', { source: undefined }, ['source']],
    ['a source that is no URI', { source: 'http://a b' }, ['source']],
    ['a source with half a percent sign', { source: '/a%2' }, ['source']],
    ['no type', { type: undefined }, ['type']],
    ['no version', { specversion: undefined }, ['specversion']],
    ['another version', { specversion: '0.3' }, ['specversion']],
    ['an empty subject', { subject: '' }, ['subject']],
    ['a time that is none', { time: 'yesterday' }, ['time']],
    ['a day that is none', { time: '2026-02-29T00:00:00Z' }, ['time']],
    ['a time without a zone', { time: '2026-02-28T00:00:00' }, ['time']],
    ['a schema that is no absolute URI', { dataschema: 'orders.json' }, ['dataschema']],
    ['a content type that is none', { datacontenttype: 'json', data: 'x' }, ['datacontenttype']],
    ['a name in capitals', { traceParent: 'x' }, ['"traceParent"']],
    ['a name with an underscore', { trace_parent: 'x' }, ['"trace_parent"']],
    ['an empty extension', { tenant: '' }, ['tenant']],
    ['an extension that is an object', { tenant: { a: 1 } }, ['"tenant"']],
    ['an extension that is a fraction', { rate: 1.5 }, ['"rate"']],
    ['too many extensions', Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`x${at}`, 'y'])), ['extensions']],
    ['data twice', { data_base64: 'AAEC' }, ['data']],
    ['base64 that is none', { data: undefined, data_base64: 'A' }, ['data_base64']],
    ['data that is no text as its type says', { datacontenttype: 'text/plain' }, ['data']],
  ])('with %s', async (_, changes, fields) => {
    const before = await rig.rowCounts();
    const answer = await postEvent(rig, orderPlaced('bad', changes));
    expect(answer).toMatchObject({ status: 400, reason: 'FIELD_INVALID', fields, retryAfter: null });
    expect(await rig.rowCounts()).toEqual(before);
  });

  it.each<[string, string | Uint8Array<ArrayBuffer>]>([
    ['no JSON', '{"specversion":'],
    ['NaN', '{"specversion":"1.0","id":"1","source":"/a","type":"t","data":NaN}'],
    ['a number that JSON cannot hold', '{"specversion":"1.0","id":"1","source":"/a","type":"t","data":1e999}'],
    ['invalid UTF-8', Uint8Array.from([...Buffer.from('{"id":"'), 0xff, ...Buffer.from('"}')])],
    ['a list', '[]'],
    ['null', 'null'],
    ['nothing', ''],
    ['200,000 levels', `${'['.repeat(200_000)}${']'.repeat(200_000)}`],
    [
      '200,000 levels of data',
      `{"specversion":"1.0","id":"deep","source":"/a","type":"com.example.raw","data":${'['.repeat(200_000)}${']'.repeat(200_000)}}`,
    ],
  ])('as a body: %s', async (_, body) => {
    const before = await rig.rowCounts();
    const answer = await post(rig, body, { headers: { 'content-type': 'application/cloudevents+json' } });
    expect(answer).toMatchObject({ status: 400, reason: 'FIELD_INVALID' });
    expect(await rig.rowCounts()).toEqual(before);
  });

  it.each<[string, Record<string, string | undefined>, string[]]>([
    ['no headers of an event', { 'ce-specversion': undefined }, ['ce-specversion']],
    ['no id', { 'ce-id': undefined }, ['id']],
    ['bad percent-encoding', { 'ce-id': '%2' }, ['ce-id']],
    ['percent-encoding that is no UTF-8', { 'ce-id': '%C0%A0' }, ['ce-id']],
    ['a percent-encoded NUL', { 'ce-id': 'a%00' }, ['id']],
    ['a character that must be encoded', { 'ce-id': '\u00e4' }, ['ce-id']],
    ['an underscore in a name', { 'ce-trace_parent': 'x' }, ['"trace_parent"']],
    ['its content type twice', { 'ce-datacontenttype': 'text/plain' }, ['ce-datacontenttype']],
    ['its data in a header', { 'ce-data_base64': 'AAEC' }, ['ce-data_base64']],
    ['another version', { 'ce-specversion': '2.0' }, ['ce-specversion']],
    ['a content type that is none', { 'content-type': 'x' }, ['datacontenttype']],
  ])('in binary mode with %s', async (_, changes, fields) => {
    const before = await rig.rowCounts();
    const headers = Object.fromEntries(
      Object.entries({ ...good, ...changes }).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    );
    expect(await post(rig, '{"order":"x","total":1}', { headers })).toMatchObject({
      status: 400,
      reason: 'FIELD_INVALID',
      fields,
    });
    expect(await rig.rowCounts()).toEqual(before);
  });

  it.each([
    ['of too many', JSON.stringify(Array.from({ length: 101 }, () => 1))],
    ['that is one event', JSON.stringify(orderPlaced('x'))],
    ['that is no JSON', '['],
  ])('in a batch %s', async (_, body) => {
    const headers = { 'content-type': 'application/cloudevents-batch+json' };
    expect(await post(rig, body, { headers })).toMatchObject({ status: 400, reason: 'FIELD_INVALID' });
  });

  it('in a batch within a batch', async () => {
    const { json } = await postBatch(rig, [[orderPlaced('x')]]);
    expect(json.results).toMatchObject([{ index: 0, error: { reason: 'ERROR_REASON_FIELD_INVALID' } }]);
  });

  it.each([
    ['application/cloudevents+avro', {}],
    ['application/cloudevents-batch+protobuf', {}],
    ['application/cloudevents+json; charset=utf-16', {}],
    ['application/cloudevents+json', { 'content-encoding': 'gzip' }],
  ])('as %s %j', async (contentType, headers) => {
    const answer = await post(rig, '{}', { headers: { 'content-type': contentType, ...headers } });
    expect(answer).toMatchObject({ status: 415, reason: 'UNIMPLEMENTED' });
  });

  it('with more data than a task may have', async () => {
    const event = orderPlaced('large', { type: 'com.example.raw', data: 'x'.repeat(100_000) });
    expect(await postEvent(rig, event)).toMatchObject({ status: 413, reason: 'PAYLOAD_TOO_LARGE' });
    expect((await postBatch(rig, [event])).json.results).toMatchObject([
      { error: { reason: 'ERROR_REASON_PAYLOAD_TOO_LARGE' } },
    ]);
  });

  it('for a namespace that is none, or one that is not the caller’s', async () => {
    expect(await postEvent(rig, orderPlaced('x'), { namespace: 'A%20B' })).toMatchObject({
      status: 400,
      fields: ['namespace'],
    });
    const answer = await postEvent(rig, orderPlaced('x'), { who: 'stranger', namespace: 'default' });
    expect(answer).toMatchObject({ status: 403, reason: 'PERMISSION_MISSING' });
    expect(await postEvent(rig, orderPlaced('x'), { who: 'stranger', namespace: 'elsewhere' })).toMatchObject({
      status: 200,
      json: { event: { disposition: 'EVENT_DISPOSITION_IGNORED' } },
    });
  });
});

/** JSON as the message of a template. */
function jsonValue(json: Record<string, string>) {
  const fields = Object.fromEntries(
    Object.entries(json).map(([name, value]) => [name, { kind: { case: 'stringValue' as const, value } }]),
  );
  return { kind: { case: 'structValue' as const, value: { fields } } };
}
