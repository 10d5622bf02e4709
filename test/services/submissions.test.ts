import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { ValueSchema } from '@bufbuild/protobuf/wkt';
import { ErrorReason } from '@dstc/contract/dstc/v1/error_pb';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { limits } from '../../server/domain/limits.ts';
import { type Expected, fieldInvalid } from './bad-input/bad-call.ts';
import { expectRefused } from './refused.ts';
import { doorNames, type Rig, startRig } from './rig.ts';

const { submitTask, submitTasks, getTask } = TaskService.method;
const { applyTaskType } = TaskTypeService.method;

const personSchema = {
  type: 'object',
  required: ['name'],
  additionalProperties: false,
  properties: { name: { type: 'string' }, friends: { type: 'array', items: { type: 'object', required: ['id'] } } },
};
const json = (value: JsonValue) => ({ value: { case: 'json', value: fromJson(ValueSchema, value) } }) as const;
const data = (bytes: Uint8Array, contentType = '') => ({ value: { case: 'data', value: bytes }, contentType }) as const;

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
  const types = [
    { name: 'a.plain' },
    { name: 'a.person', inputSchema: personSchema },
    { name: 'a.nested', inputSchema: { type: 'array', items: { $ref: '#' } } },
    { name: 'a.unique', inputSchema: { type: 'array', uniqueItems: true } },
    { name: 'b.plain' },
    { name: 'a.plain', namespace: 'elsewhere' },
  ];
  for (const taskType of types) await rig.doors.gRPC.call(applyTaskType, { taskType }, rig.token('root'));
});
afterAll(() => rig.stop());

describe.each(doorNames)('over %s', (doorName) => {
  const door = () => rig.doors[doorName];
  const refused = (call: () => Promise<unknown>, expected: Expected) => expectRefused(rig, doorName, call, expected);

  describe('a payload', () => {
    const bytesMax = limits.payloadBytesMaxDefault;
    const tooLarge = (actual: number) => ({
      code: 'ResourceExhausted',
      reason: 'PAYLOAD_TOO_LARGE',
      metadata: { limit_bytes: String(bytesMax), actual_bytes: String(actual) },
    });

    it.each([3 * 1024 * 1024, bytesMax + 1])('of %i bytes is refused with the limit', async (size) => {
      const input = data(Buffer.alloc(size));
      await refused(() => door().call(submitTask, { type: 'a.plain', input }, rig.token('root')), tooLarge(size));
    });

    it('of JSON is measured as it is stored', async () => {
      const input = json('x'.repeat(bytesMax - 1));
      const call = () => door().call(submitTask, { type: 'a.plain', input }, rig.token('root'));
      await refused(call, tooLarge(bytesMax + 1));
    });

    it('of exactly the limit is taken', async () => {
      const input = data(Buffer.alloc(bytesMax), 'application/octet-stream');
      const { task } = await door().call(submitTask, { type: 'a.plain', input }, rig.token('root'));
      const got = await door().call(getTask, { id: task?.id ?? '' }, rig.token('root'));
      const value = got.task?.input?.value.value;
      expect(value instanceof Uint8Array && value.byteLength).toBe(bytesMax);
    });

    it.each([
      ['nothing at all', undefined, 'input/'],
      ['a value of another kind', json('Ada'), 'input/'],
      ['a missing property', json({}), 'input/'],
      ['an unknown property', json({ name: 'Ada', age: 36 }), 'input/'],
      ['a wrong property', json({ name: 7 }), 'input/name'],
      ['a mistake deep inside', json({ name: 'Ada', friends: [{ id: 1 }, {}] }), 'input/friends/1'],
      ['text that is not JSON', data(Buffer.from('{"name":')), 'input/'],
      ['bytes that are not UTF-8', data(Buffer.from([0x22, 0xff, 0x22])), 'input/'],
      ['another kind of content', data(Buffer.from('{"name":"Ada"}'), 'text/plain'), 'input/'],
    ])('that breaks the schema with %s is refused with the path', async (_, input, field) => {
      const request = { type: 'a.person', ...(input !== undefined && { input }) };
      await refused(() => door().call(submitTask, request, rig.token('root')), {
        code: 'InvalidArgument',
        reason: 'INPUT_INVALID',
        metadata: { task_type: 'a.person' },
        fields: [field],
      });
    });

    it('that is nested too deeply to be checked is refused', async () => {
      const input = data(Buffer.from('['.repeat(20_000) + ']'.repeat(20_000)));
      await refused(() => door().call(submitTask, { type: 'a.nested', input }, rig.token('root')), {
        code: 'InvalidArgument',
        reason: 'INPUT_INVALID',
        metadata: { task_type: 'a.nested' },
        fields: ['input/'],
      });
    });

    it('that takes too long to be checked is refused, and other calls are answered meanwhile', async () => {
      const { task } = await door().call(submitTask, { type: 'a.plain' }, rig.token('root'));
      const input = json(Array.from({ length: 24_000 }, (_, a) => ({ a })));
      let [isRefused, answered] = [false, 0];
      const refusal = refused(() => door().call(submitTask, { type: 'a.unique', input }, rig.token('root')), {
        code: 'InvalidArgument',
        reason: 'INPUT_INVALID',
        metadata: { task_type: 'a.unique' },
        fields: ['input/'],
      }).finally(() => {
        isRefused = true;
      });
      for (; !isRefused; answered += 1) await door().call(getTask, { id: task?.id ?? '' }, rig.token('root'));
      await refusal;
      expect(answered).toBeGreaterThan(5);
    });

    it('may have a property that every JavaScript object has', async () => {
      await refused(
        () =>
          door().call(
            submitTask,
            { type: 'a.person', input: json(JSON.parse('{"name":"Ada","__proto__":{}}')) },
            rig.token('root'),
          ),
        { code: 'InvalidArgument', reason: 'INPUT_INVALID', metadata: { task_type: 'a.person' }, fields: ['input/'] },
      );
    });
  });

  describe('a batch', () => {
    it('with bad items answers each for itself, in order', async () => {
      const before = await rig.rowCounts();
      const requests = [
        { type: 'a.plain' },
        { type: 'no spaces' },
        { type: 'a.missing' },
        { type: 'a.person', input: json({ name: 1 }) },
        { type: 'b.plain' },
        { type: 'a.plain', input: data(Buffer.alloc(3 * 1024 * 1024)) },
        { type: 'a.plain', labels: { 'a b': 'x' } },
        { type: 'a.plain', deadlines: { run: { nanos: 1 } } },
        { type: 'a.plain', priority: 9 },
      ];
      const { results } = await door().call(submitTasks, { requests }, rig.token('alice'));
      expect(
        results.map(({ result: { case: kind, value } }) => (kind === 'error' ? [value.code, value.reason] : kind)),
      ).toEqual([
        'task',
        [3, ErrorReason.FIELD_INVALID],
        [5, ErrorReason.TASK_TYPE_NOT_FOUND],
        [3, ErrorReason.INPUT_INVALID],
        [7, ErrorReason.PERMISSION_MISSING],
        [8, ErrorReason.PAYLOAD_TOO_LARGE],
        [3, ErrorReason.FIELD_INVALID],
        [3, ErrorReason.FIELD_INVALID],
        'task',
      ]);
      const fields = results.flatMap(({ result }) =>
        result.case === 'error' ? [result.value.violations.map(({ field }) => field)] : [],
      );
      expect(fields).toEqual([['type'], [], ['input/name'], [], [], ['labels["a b"]'], ['deadlines.run']]);
      expect(await rig.rowCounts()).toEqual({
        ...before,
        task: (before.task ?? 0) + 2,
        task_event: (before.task_event ?? 0) + 2,
      });
    });

    it.each([
      ['nothing', 0],
      ['more than 1,000 items', 1_001],
    ])('of %s is refused as a whole', async (_, count) => {
      const requests = Array.from({ length: count }, () => ({ type: 'a.plain' }));
      await refused(() => door().call(submitTasks, { requests }, rig.token('root')), fieldInvalid('requests'));
    });

    it('takes the item with the key that came first, and refuses another one with that key', async () => {
      const idempotencyKey = `twice ${doorName}`;
      const requests = [1, 1, 2].map((value) => ({ type: 'a.plain', idempotencyKey, input: json(value) }));
      const { results } = await door().call(submitTasks, { requests }, rig.token('root'));
      const [first, second, third] = results.map(({ result }) => result);
      expect(first?.case).toBe('task');
      expect(second?.case === 'task' && second.value.id).toBe(first?.case === 'task' && first.value.id);
      expect(third?.case === 'error' && third.value.reason).toBe(ErrorReason.IDEMPOTENCY_CONFLICT);
    });
  });

  describe('an idempotency key', () => {
    const first = () => ({
      type: 'a.plain',
      idempotencyKey: `once ${doorName}`,
      labels: { a: '1', b: '2' },
      input: json({ n: 1 }),
    });
    const conflict = () => ({
      code: 'AlreadyExists',
      reason: 'IDEMPOTENCY_CONFLICT',
      metadata: { idempotency_key: `once ${doorName}` },
    });

    it('finds the same task again, whatever the order of its labels', async () => {
      const made = await door().call(submitTask, first(), rig.token('alice'));
      const before = await rig.rowCounts();
      const again = await door().call(submitTask, { ...first(), labels: { b: '2', a: '1' } }, rig.token('alice'));
      expect(again).toMatchObject({ alreadyExisted: true, task: { id: made.task?.id } });
      expect(await rig.rowCounts()).toEqual(before);
    });

    it.each([
      ['another input', { input: json({ n: 2 }) }],
      ['another type', { type: 'a.person', input: json({ name: 'Ada' }) }],
      ['another label', { labels: { a: '1' } }],
      ['another priority', { priority: 1 }],
      ['a delay', { delay: { seconds: 1n } }],
    ])('is refused with %s', async (_, change) => {
      await door().call(submitTask, first(), rig.token('alice'));
      await refused(() => door().call(submitTask, { ...first(), ...change }, rig.token('alice')), conflict());
    });

    it('is refused from another principal, and is free in another namespace', async () => {
      await door().call(submitTask, first(), rig.token('alice'));
      await refused(() => door().call(submitTask, first(), rig.token('root')), conflict());
      const elsewhere = { ...first(), namespace: 'elsewhere' };
      expect(await door().call(submitTask, elsewhere, rig.token('stranger'))).toMatchObject({ alreadyExisted: false });
    });
  });
});
