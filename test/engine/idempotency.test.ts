import { fromJson } from '@bufbuild/protobuf';
import { ValueSchema } from '@bufbuild/protobuf/wkt';
import { ErrorReason } from '@dstc/contract/dstc/v1/error_pb';
import type { SubmitTaskResult } from '@dstc/contract/dstc/v1/task_service_pb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { refusalOf } from '../doors/rig.ts';
import { checkHistory } from '../setup/check-history.ts';
import { clientsOf, type EngineRig, startEngineRig } from './rig.ts';

let rig: EngineRig;
let type: string;
beforeAll(async () => {
  rig = await startEngineRig();
  type = await rig.type({ inputSchema: { type: 'object' } });
});
afterAll(() => rig.stop());

let keys = 0;
function newKey(): string {
  keys += 1;
  return `key ${keys}`;
}

function input(text: string) {
  return { value: { case: 'data' as const, value: Buffer.from(text) } };
}

/** Of each result: its task's id and whether it was there, or why there is none. */
function briefly(results: readonly SubmitTaskResult[]): [string, boolean][] {
  return results.map(({ result, alreadyExisted }) => {
    if (result.case === 'task') return [result.value.id, alreadyExisted];
    return [result.case === 'error' ? (ErrorReason[result.value.reason] ?? '') : '', alreadyExisted];
  });
}

test('the same request with the same key is the same task', async () => {
  const request = { type, idempotencyKey: newKey(), input: input('{"n":1}'), labels: { b: '2', a: '1' }, priority: 7 };
  const first = await rig.tasks.submitTask(request);
  const second = await rig.tasks.submitTask({ ...request, labels: { a: '1', b: '2' } });
  expect([first.alreadyExisted, second.alreadyExisted]).toEqual([false, true]);
  expect(second.task?.id).toBe(first.task?.id);
});

test('the same JSON input is the same whatever the order of its keys', async () => {
  const json = (entries: [string, number][]) => ({
    input: { value: { case: 'json' as const, value: fromJson(ValueSchema, Object.fromEntries(entries)) } },
  });
  const request = { type, idempotencyKey: newKey() };
  const first = await rig.tasks.submitTask({
    ...request,
    ...json([
      ['a', 1],
      ['b', 2],
    ]),
  });
  const second = await rig.tasks.submitTask({
    ...request,
    ...json([
      ['b', 2],
      ['a', 1],
    ]),
  });
  expect(second).toMatchObject({ alreadyExisted: true, task: { id: first.task?.id } });
});

describe('another request with the same key is refused', () => {
  test.each([
    ['another input', { input: input('{"n":2}') }],
    ['the same JSON with a space more', { input: input('{"n": 1}') }],
    ['another type', { other: true }],
    ['another priority', { priority: 1 }],
    ['another label', { labels: { a: '2' } }],
    ['another delay', { delay: { seconds: 1n } }],
    ['another retry policy', { retryPolicy: { attemptsMax: 2 } }],
    ['another content type', { input: { ...input('{"n":1}'), contentType: 'application/json; charset=utf-8' } }],
  ])('%s', async (_, { other = false, ...change }: { other?: boolean; [field: string]: unknown }) => {
    const request = { type, idempotencyKey: newKey(), input: input('{"n":1}') };
    const { task } = await rig.tasks.submitTask(request);
    const changed = { ...request, ...change, ...(other && { type: await rig.type() }) };
    expect(await refusalOf(rig.tasks.submitTask(changed))).toMatchObject({
      code: 'AlreadyExists',
      reason: 'IDEMPOTENCY_CONFLICT',
    });
    expect(await rig.sql`SELECT id FROM task WHERE idempotency_key = ${request.idempotencyKey}`).toEqual([
      { id: task?.id },
    ]);
  });
});

test('a key belongs to its namespace', async () => {
  await rig.types.applyTaskType({ taskType: { namespace: 'other', name: type } });
  const request = { type, idempotencyKey: newKey(), input: input('{}') };
  const here = await rig.tasks.submitTask(request);
  const there = await rig.tasks.submitTask({ ...request, namespace: 'other' });
  expect([here.alreadyExisted, there.alreadyExisted]).toEqual([false, false]);
});

test('a key used twice in one batch makes one task', async () => {
  const request = { type, idempotencyKey: newKey(), input: input('{}') };
  const { results } = await rig.tasks.submitTasks({
    requests: [request, { type, input: input('{}') }, request, { ...request, input: input('{"n":3}') }],
  });
  const [first, other, again, conflict] = briefly(results);
  expect(first?.[1]).toBe(false);
  expect(again).toEqual([first?.[0], true]);
  expect(other?.[1]).toBe(false);
  expect(conflict?.[0]).toBe('IDEMPOTENCY_CONFLICT');
});

test('a key used from two nodes at the same moment makes one task', async () => {
  const node = await rig.coordinator.startNode();
  const elsewhere = clientsOf(node.grpcAddress, await rig.coordinator.token('operator'));
  const requests = Array.from({ length: 200 }, () => ({ type, idempotencyKey: newKey(), input: input('{}') }));
  // In opposite orders: batches that take the same keys must not lock each other out.
  const answers = await Promise.all([
    ...requests.map((request) => rig.tasks.submitTask(request)),
    ...requests.toReversed().map((request) => elsewhere.tasks.submitTask(request)),
    rig.tasks.submitTasks({ requests: requests.toReversed() }).then(() => undefined),
    elsewhere.tasks.submitTasks({ requests }).then(() => undefined),
  ]);
  const ids = new Set(answers.flatMap((answer) => answer?.task?.id ?? []));
  expect(ids.size).toBe(requests.length);
  expect(answers.filter((answer) => answer?.alreadyExisted === false).length).toBeLessThanOrEqual(requests.length);
  const keyList = requests.map((request) => request.idempotencyKey);
  expect(await rig.sql`SELECT 1 FROM task WHERE idempotency_key IN ${rig.sql(keyList)}`).toHaveLength(200);
  await node.stop();
});

test('a batch with bad items submits the others and says of each what is wrong', async () => {
  const { results } = await rig.tasks.submitTasks({
    requests: [
      { type, input: input('{}') },
      { type, input: input('[]') },
      { type: 'no.such.type' },
      { type, input: input('{') },
      { type, priority: 10, input: input('{}') },
      { type, input: input(`{"x":"${'y'.repeat(2 * 1024 * 1024)}"}`) },
      { type, input: input('{}') },
    ],
  });
  const [first, ...wrong] = briefly(results);
  const last = wrong.pop();
  expect(wrong.map(([reason]) => reason)).toEqual([
    ...['INPUT_INVALID', 'TASK_TYPE_NOT_FOUND', 'INPUT_INVALID', 'FIELD_INVALID', 'PAYLOAD_TOO_LARGE'],
  ]);
  for (const [id] of [first ?? ['', false], last ?? ['', false]]) expect(await rig.state(id)).toBe('PENDING');
});

test('leaves histories that hold', async () => {
  const rows = await rig.sql<{ id: string }[]>`SELECT id FROM task`;
  const report = await checkHistory(
    rig.sql,
    rows.map((row) => row.id),
    { allEnded: false },
  );
  expect(report.byKind).toEqual({ submitted: rows.length });
});
