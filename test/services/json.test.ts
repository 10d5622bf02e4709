import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from './rig.ts';

const { submitTask } = TaskService.method;

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
  const { applyTaskType } = TaskTypeService.method;
  for (const name of ['a.plain', 'a.worked']) {
    await rig.doors.gRPC.call(applyTaskType, { taskType: { name } }, rig.token('root'));
  }
});
afterAll(() => rig.stop());

/** What a person at a shell can see: the status and the text. */
async function http(method: 'GET' | 'POST', rpc: string, body: unknown) {
  const url = new URL(`/dstc.v1.${rpc}`, rig.coordinator.httpUrl);
  const text = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
  if (method === 'GET') url.search = new URLSearchParams({ encoding: 'json', message: String(text) }).toString();
  const headers = { authorization: `Bearer ${rig.token('root')}` };
  const init = method === 'GET' ? {} : { body: text, headers: { ...headers, 'content-type': 'application/json' } };
  const response = await fetch(url, { method, headers, ...init });
  return { status: response.status, json: JSON.parse(await response.text()) };
}

describe('a JSON input', () => {
  it.each([
    '{"to":"a@example.com","count":3,"tags":["x",null,true],"deep":{"a":{"b":[]}}}',
    '"text"',
    '"ä \\u0000 \\ud83d\\ude00"',
    '[1,2.5,-3e300]',
    'false',
    'null',
    '{}',
    '{"__proto__":{"a":1},"constructor":2}',
    '{"b":1,"a":2}',
  ])('comes back as it was sent: %s', async (text) => {
    const { json } = await http('POST', 'TaskService/SubmitTask', `{"type":"a.plain","input":{"json":${text}}}`);
    expect(json.task).toMatchObject({ type: 'a.plain', state: 'TASK_STATE_PENDING', priority: 4 });
    const got = await http('POST', 'TaskService/GetTask', { id: json.task.id });
    expect(JSON.stringify(got.json.task.input.json)).toBe(JSON.stringify(JSON.parse(text)));
    expect(got.json.task.input.contentType).toBe('application/json');
    // One encoding is stored, whatever the door.
    const stored = await rig.sql`SELECT input FROM task WHERE id = ${json.task.id}`;
    expect(JSON.parse(stored[0]?.input.toString())).toEqual(JSON.parse(text));
  });
});

describe('a payload that came as data', () => {
  it.each([
    ['JSON comes back as JSON', '{"n":1}', 'application/json', { json: { n: 1 } }],
    ['JSON of another name comes back as JSON', '{"n":1}', 'application/problem+json', { json: { n: 1 } }],
    ['text comes back as data', 'hello', 'text/plain', { data: 'aGVsbG8=' }],
    ['bytes come back as data', '\u0000\u0001', 'application/octet-stream', { data: 'AAE=' }],
    ['what is no JSON comes back as data', '{"n":', 'application/json', { data: 'eyJuIjo=' }],
    [
      'what is no UTF-8 comes back as data',
      Buffer.from('{"n":"\xff"}', 'latin1'),
      'application/json',
      { data: 'eyJuIjoi/yJ9' },
    ],
    ['a number that JSON cannot hold comes back as data', '1e999', 'application/json', { data: 'MWU5OTk=' }],
    [
      'deep JSON comes back as data',
      `${'['.repeat(200)}${']'.repeat(200)}`,
      'application/json',
      { data: expect.any(String) },
    ],
  ])('%s', async (_, text, contentType, expected) => {
    const input = { value: { case: 'data', value: Buffer.from(text) }, contentType } as const;
    const { task } = await rig.doors.gRPC.call(submitTask, { type: 'a.plain', input }, rig.token('root'));
    const got = await http('POST', 'TaskService/GetTask', { id: task?.id });
    expect(got).toMatchObject({ status: 200, json: { task: { input: { ...expected, contentType } } } });
  });

  it('that is empty has no value', async () => {
    const { json } = await http('POST', 'TaskService/SubmitTask', { type: 'a.plain' });
    const got = await http('POST', 'TaskService/GetTask', { id: json.task.id });
    expect(got.json.task.input).toEqual({ data: '', contentType: 'application/json' });
  });
});

it('goes through a whole task in JSON, times, enums and all', async () => {
  const submitted = await http('POST', 'TaskService/SubmitTask', {
    type: 'a.worked',
    input: { json: { n: 20 } },
    labels: { app: 'shop' },
    delay: '0.001s',
    idempotencyKey: 'json',
    deadlines: { run: '90s' },
  });
  const { id } = submitted.json.task;
  const leased = await http('POST', 'WorkerService/LeaseTasks', { taskTypes: ['a.worked'], wait: '5s' });
  const { session, assignments, leaseDuration } = leased.json;
  expect(leaseDuration).toBe('10s');
  expect(assignments).toMatchObject([
    {
      taskType: 'a.worked',
      input: { json: { n: 20 } },
      labels: { app: 'shop' },
      runTimeout: '90s',
      lease: { attempt: 1 },
    },
  ]);
  const succeeded = { items: [{ lease: assignments[0].lease, output: { json: { n: 21 } } }] };
  const reported = await http('POST', 'WorkerService/ReportTasks', { session, succeeded });
  expect(reported.json.settlements).toMatchObject([
    { outcome: 'SETTLEMENT_OUTCOME_RECORDED', state: 'TASK_STATE_SUCCEEDED' },
  ]);
  const { json } = await http('POST', 'TaskService/AwaitTask', { id });
  expect(json).toMatchObject({
    finished: true,
    task: { id, state: 'TASK_STATE_SUCCEEDED', output: { json: { n: 21 } }, idempotencyKey: 'json' },
  });
  expect(Date.parse(json.task.finishedTime)).toBeGreaterThan(Date.parse(json.task.createTime));
});

describe('GET', () => {
  it.each(['GetTask', 'AwaitTask'])('serves %s', async (rpc) => {
    const { json } = await http('POST', 'TaskService/SubmitTask', { type: 'a.plain', input: { json: 'x' } });
    const { id } = json.task;
    const got = await http('GET', `TaskService/${rpc}`, { id, ...(rpc === 'AwaitTask' && { timeout: '0s' }) });
    expect(got).toMatchObject({ status: 200, json: { task: { id, input: { json: 'x' } } } });
  });

  it.each([
    ['TaskService/ListTasks', { pageSize: 1 }, 'tasks'],
    ['TaskTypeService/ListTaskTypes', {}, 'taskTypes'],
    ['WorkerService/ListWorkers', {}, 'workers'],
  ])('serves %s', async (rpc, message, field) => {
    const { status, json } = await http('GET', rpc, message);
    expect(status).toBe(200);
    expect(json[field].length).toBeGreaterThan(0);
  });

  it.each(['SubmitTask', 'SubmitTasks', 'CancelTask'])('is refused for %s, which changes something', async (rpc) => {
    const before = await rig.rowCounts();
    const { status, json } = await http('GET', `TaskService/${rpc}`, { type: 'a.plain' });
    expect(status).toBe(405);
    expect(json).toMatchObject({ code: 'unimplemented', details: [{ debug: { reason: 'UNIMPLEMENTED' } }] });
    expect(await rig.rowCounts()).toEqual(before);
  });
});

it.each([
  ['TaskService/WatchTasks', 'AwaitTask'],
  ['EventService/SubscribeEvents', 'ListTaskEvents'],
])('tells who calls %s with plain JSON what a stream takes, and to use %s', async (rpc, instead) => {
  const { status, json } = await http('POST', rpc, {});
  expect(status).toBe(415);
  expect(json).toMatchObject({ code: 'unimplemented', details: [{ debug: { reason: 'UNIMPLEMENTED' } }] });
  expect(json.message).toMatch(/takes application\/connect\+json, .*gRPC-Web; with plain JSON, use /);
  expect(json.message).toContain(instead);
});

describe('JSON that is wrong', () => {
  it.each([
    ['no JSON', '{"type":', 'decode'],
    ['a list', '[]', 'Array'],
    ['a misspelt field', '{"type":"a.plain","priorty":9}', 'priorty'],
    ['a field of another type', '{"type":"a.plain","priority":"high"}', 'priority'],
    ['a fraction of a whole number', '{"type":"a.plain","priority":1.5}', 'priority'],
    ['bytes that are no UTF-8', Buffer.from('{"type":"a.plain","input":{"json":"\xff"}}', 'latin1'), 'not UTF-8'],
    ['both kinds of a payload', '{"type":"a.plain","input":{"json":1,"data":""}}', 'Payload.value'],
    ['data that is not base64', '{"type":"a.plain","input":{"data":"%"}}', 'data'],
    ['half a character', '{"type":"a.plain","labels":{"a":"\\ud800"}}', 'labels'],
    ['a type that is null', '{"type":null}', 'type'],
  ])('is refused with what is wrong: %s', async (_, text, named) => {
    const before = await rig.rowCounts();
    const { status, json } = await http('POST', 'TaskService/SubmitTask', text);
    expect(status).toBe(400);
    expect(json).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(named) });
    expect(json.details.filter(({ type }: { type: string }) => type === 'google.rpc.ErrorInfo')).toMatchObject([
      { debug: { reason: 'FIELD_INVALID', domain: 'dstc' } },
    ]);
    expect(await rig.rowCounts()).toEqual(before);
  });
});
