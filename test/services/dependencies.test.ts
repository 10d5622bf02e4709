import { fromJson, type JsonValue, type MessageInitShape, toJson } from '@bufbuild/protobuf';
import { ValueSchema } from '@bufbuild/protobuf/wkt';
import { ErrorReason } from '@dstc/contract/dstc/v1/error_pb';
import { DependencyPolicy, TaskState } from '@dstc/contract/dstc/v1/task_pb';
import {
  type SubmitTaskRequestSchema,
  type SubmitTaskResult,
  type TaskDependencySchema,
  TaskService,
} from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { type DependencyResult, WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { limits } from '../../server/domain/limits.ts';
import { type Expected, fieldInvalid, noTask } from './bad-input/bad-call.ts';
import { outline, refusalOf } from './refused.ts';
import { doorNames, type Rig, startRig, type Who } from './rig.ts';
import { take } from './unary-worker.ts';

const { submitTask, submitTasks, getTask, cancelTask, listTasks } = TaskService.method;
const { leaseTasks, reportTasks, getDependencyResults } = WorkerService.method;

type Request = MessageInitShape<typeof SubmitTaskRequestSchema>;
type Link = MessageInitShape<typeof TaskDependencySchema>;

const onTask = (value: string, onFailure = DependencyPolicy.UNSPECIFIED): Link => ({
  task: { case: 'taskId', value },
  onFailure,
});
const onRequest = (value: number, onFailure = DependencyPolicy.UNSPECIFIED): Link => ({
  task: { case: 'requestIndex', value },
  onFailure,
});
const following = (...indices: number[]): Request => ({
  type: 'a.plain',
  dependencies: indices.map((index) => onRequest(index)),
});

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
  const types = [
    { name: 'a.plain' },
    { name: 'a.number', inputSchema: { type: 'number' } },
    { name: 'b.plain' },
    { name: 'a.plain', namespace: 'elsewhere' },
    ...doorNames.flatMap((_, index) => [{ name: `a.first${index}` }, { name: `a.second${index}` }]),
  ];
  for (const taskType of types) {
    await rig.doors.gRPC.call(TaskTypeService.method.applyTaskType, { taskType }, rig.token('root'));
  }
});
afterAll(() => rig.stop());

/** Without a look at what else the node does: workers of other tests are accepted and swept meanwhile. */
async function expectRefused(call: () => Promise<unknown>, expected: Expected) {
  const refusal = await refusalOf(call());
  expect(outline(refusal)).toEqual({ fields: [], metadata: {}, ...expected });
  return refusal;
}

/** Of each result: the state of its task, or the fields that are wrong. */
function briefly(results: readonly SubmitTaskResult[]): string[] {
  return results.map(({ result }) => {
    if (result.case === 'task') return TaskState[result.value.state] ?? '';
    if (result.case !== 'error') return '';
    const fields = result.value.violations.map(({ field }) => field).join();
    return fields === '' ? (ErrorReason[result.value.reason] ?? '') : fields;
  });
}

function idsOf(results: readonly SubmitTaskResult[]): string[] {
  return results.map(({ result }) => (result.case === 'task' ? result.value.id : ''));
}

describe.each(doorNames)('over %s', (doorName) => {
  const door = () => rig.doors[doorName];
  const submit = async (request: Request, who: Who = 'root') =>
    (await door().call(submitTask, { type: 'a.plain', ...request }, rig.token(who))).task?.id ?? '';
  const submitAll = async (requests: Request[], who: Who = 'root') =>
    (await door().call(submitTasks, { requests }, rig.token(who))).results;
  const dependenciesOf = async (id: string, who: Who = 'root') =>
    (await door().call(getTask, { id }, rig.token(who))).task?.dependencies ?? [];

  describe('requests of one call', () => {
    it('depend on each other in any order', async () => {
      const results = await submitAll([
        following(1, 2),
        following(3),
        following(3),
        { type: 'a.plain' },
        { type: 'b.plain' },
      ]);
      expect(briefly(results)).toEqual(['BLOCKED', 'BLOCKED', 'BLOCKED', 'PENDING', 'PENDING']);
      const [bottom = '', left, right, top] = idsOf(results);
      expect((await dependenciesOf(bottom)).map(({ taskId }) => taskId)).toEqual([left, right]);
      expect((await dependenciesOf(left ?? '')).map(({ taskId, waiting }) => [taskId, waiting])).toEqual([[top, true]]);
    });

    it.each([
      ['itself', [following(0)], ['dependencies[0].request_index']],
      ['a request that is not there', [following(3)], ['dependencies[0].request_index']],
      [
        'each other',
        [following(1), following(0), following(0), { type: 'a.plain' }],
        ['dependencies[0].request_index', 'dependencies[0].request_index', 'dependencies[0].request_index', 'PENDING'],
      ],
      [
        'each other in a ring that hangs on one that is fine',
        [{ type: 'a.plain' }, following(0, 2), following(0, 1)],
        ['PENDING', 'dependencies[1].request_index', 'dependencies[1].request_index'],
      ],
      ['the same request twice', [{ type: 'a.plain' }, following(0, 0)], ['PENDING', 'dependencies[1].request_index']],
      [
        'one that is refused',
        [
          { type: 'a.number', input: { value: { case: 'json', value: fromJson(ValueSchema, 'x') } } },
          following(0),
          following(1),
        ],
        ['input/', 'dependencies[0].request_index', 'dependencies[0].request_index'],
      ],
      [
        'one of a type that is not there',
        [{ type: 'a.none' }, following(0)],
        ['TASK_TYPE_NOT_FOUND', 'dependencies[0].request_index'],
      ],
      [
        'one that breaks a rule',
        [{ type: 'a.plain', priority: 10 }, following(0)],
        ['priority', 'dependencies[0].request_index'],
      ],
      [
        'one of another namespace',
        [{ type: 'a.plain', namespace: 'elsewhere' }, following(0)],
        ['PENDING', 'dependencies[0].request_index'],
      ],
      ['no task at all', [{ type: 'a.plain', dependencies: [{}] }], ['dependencies[0].task']],
      ['a negative index', [following(-1)], ['dependencies[0].request_index']],
      [
        'a task that is not there',
        [{ type: 'a.plain' }, { type: 'a.plain', dependencies: [onRequest(0), onTask(noTask)] }, following(1)],
        ['PENDING', 'dependencies[1].task_id', 'dependencies[0].request_index'],
      ],
    ] as [string, Request[], string[]][])('are refused alone when they depend on %s', async (_, requests, expected) => {
      expect(briefly(await submitAll(requests))).toEqual(expected);
    });

    it('are the same tasks when the call is repeated with its keys', async () => {
      const keyed = (name: string, request: Request) => ({ ...request, idempotencyKey: `${doorName} ${name}` });
      const requests = [keyed('one', { type: 'a.plain' }), keyed('two', following(0)), keyed('three', following(1, 0))];
      const first = await submitAll(requests);
      const second = await submitAll(requests);
      expect(idsOf(second)).toEqual(idsOf(first));
      expect(second.map(({ alreadyExisted }) => alreadyExisted)).toEqual([true, true, true]);
      expect(briefly(second)).toEqual(briefly(first));
    });

    it('depend on what a key has made before, also in the same call', async () => {
      const key = `${doorName} before`;
      const first = await submit({ idempotencyKey: key });
      const keyed = { type: 'a.plain', idempotencyKey: key };
      const results = await submitAll([keyed, keyed, following(0)]);
      expect(results.map(({ alreadyExisted }) => alreadyExisted)).toEqual([true, true, false]);
      expect((await dependenciesOf(idsOf(results)[2] ?? '')).map(({ taskId }) => taskId)).toEqual([first]);
      const twice = { type: 'a.plain', idempotencyKey: `${key} twice` };
      const fresh = await submitAll([twice, twice, following(1)]);
      expect(fresh.map(({ alreadyExisted }) => alreadyExisted)).toEqual([false, true, false]);
      expect(new Set(idsOf(fresh)).size).toBe(2);
    });

    it('are another request when they depend on something else', async () => {
      const idempotencyKey = `${doorName} changed`;
      const [one, two] = [await submit({}), await submit({})];
      await submit({ idempotencyKey, dependencies: [onTask(one)] });
      const changed = [[onTask(two)], [onTask(one, DependencyPolicy.BLOCK)], []];
      for (const dependencies of changed) {
        const refusal = await refusalOf(submit({ idempotencyKey, dependencies }));
        expect(outline(refusal).reason).toBe('IDEMPOTENCY_CONFLICT');
      }
      const results = await submitAll([{ type: 'a.plain', idempotencyKey }, following(0)]);
      expect(briefly(results)).toEqual(['IDEMPOTENCY_CONFLICT', 'dependencies[0].request_index']);
    });

    it('have a thousand dependencies each, and twenty thousand together', async () => {
      const width = limits.dependenciesMax;
      const dependencies = idsOf(await submitAll(Array.from({ length: width }, () => ({ type: 'a.plain' })))).map(
        (id) => onTask(id),
      );
      const wide = { type: 'a.plain', dependencies };
      const results = await submitAll(Array.from({ length: limits.dependenciesPerCallMax / width + 1 }, () => wide));
      expect(briefly(results)).toEqual([
        ...Array(limits.dependenciesPerCallMax / width).fill('BLOCKED'),
        'dependencies',
      ]);
      expect(await dependenciesOf(idsOf(results)[0] ?? '')).toHaveLength(width);
      const tooWide = { type: 'a.plain', dependencies: [...dependencies, onTask(noTask)] };
      await expectRefused(() => submit(tooWide), fieldInvalid('dependencies'));
    }, 60_000);
  });

  it.each([
    ['is not there', () => noTask],
    ['is of a type that the caller may not read', () => submit({ type: 'b.plain' })],
    ['is of another namespace', () => submit({ namespace: 'elsewhere' })],
  ])('refuses a dependency that %s, always in the same words', async (_, make) => {
    const id = await make();
    const dependencies = [onTask(await submit({})), onTask(id)];
    const refusal = await expectRefused(
      () => submit({ dependencies }, 'alice'),
      fieldInvalid('dependencies[1].task_id'),
    );
    expect(refusal.violations[0]?.description).toBe(`there is no task ${id} that you may see`);
  });

  it('refuses a request index where there is one request', async () => {
    const one = (value: number) =>
      expectRefused(() => submit(following(value)), fieldInvalid('dependencies[0].request_index'));
    await one(0);
    await one(1);
  });

  it('shows of a dependency that the caller may not read only that it is waited for', async () => {
    const hidden = await submit({ type: 'b.plain' });
    const id = await submit({ dependencies: [onTask(hidden, DependencyPolicy.BLOCK)] });
    const [seen] = await dependenciesOf(id);
    expect(seen).toMatchObject({ taskId: hidden, taskType: 'b.plain', state: TaskState.PENDING, waiting: true });
    const [veiled] = await dependenciesOf(id, 'clerk');
    expect(veiled).toMatchObject({ taskId: hidden, taskType: '', state: TaskState.UNSPECIFIED, waiting: true });
    expect(veiled?.onFailure).toBe(DependencyPolicy.BLOCK);
  });

  it('shows dependencies of single tasks, and not in lists', async () => {
    const id = await submit({ dependencies: [onTask(await submit({}))] });
    expect(await dependenciesOf(id)).toHaveLength(1);
    const { tasks } = await door().call(
      listTasks,
      { filter: { states: [TaskState.BLOCKED] }, pageSize: 1 },
      rig.token('root'),
    );
    expect(tasks.map((task) => [task.id, task.dependencies])).toEqual([[id, []]]);
  });

  describe('the results of dependencies', () => {
    const index = doorNames.indexOf(doorName);
    const [first, second] = [`a.first${index}`, `a.second${index}`];

    /** Leases the next task of the second type. */
    async function leased(who: Who = 'root') {
      const wait = { seconds: 5n };
      const { session, assignments } = await door().call(leaseTasks, { taskTypes: [second], wait }, rig.token(who));
      const lease = assignments[0]?.lease;
      if (session === undefined || lease === undefined) throw new Error('nothing was leased');
      return { session, lease };
    }

    async function resultsFor(claim: Awaited<ReturnType<typeof leased>>, who: Who = 'root', pageSize = 0) {
      const results: DependencyResult[] = [];
      let pageToken = '';
      let pages = 0;
      do {
        const page = await door().call(getDependencyResults, { ...claim, pageSize, pageToken }, rig.token(who));
        results.push(...page.results);
        pageToken = page.nextPageToken;
        pages += 1;
      } while (pageToken !== '');
      return { results, pages };
    }

    function outputOf({ output }: DependencyResult): unknown {
      if (output?.value.case === 'json') return toJson(ValueSchema, output.value.value);
      return output?.value.case === 'data' ? JSON.parse(Buffer.from(output.value.value).toString()) : undefined;
    }

    async function succeeded(output: JsonValue): Promise<string> {
      const id = await submit({ type: first });
      await (await take(door(), rig.token('root'), first)).succeed(output);
      return id;
    }

    async function finish({ session, lease }: Awaited<ReturnType<typeof leased>>): Promise<void> {
      await door().call(reportTasks, { session, succeeded: { items: [{ lease }] } }, rig.token('root'));
    }

    it('come in the order of the submission, in pages, whatever became of each', async () => {
      const [one, three] = [await succeeded(1), await succeeded(3)];
      const two = await submit({ type: first });
      await (await take(door(), rig.token('root'), first)).fail('BROKEN');
      const ids = [one, two, three, await submit({})];
      const policy = DependencyPolicy.CONTINUE;
      await submit({ type: second, dependencies: ids.map((id) => onTask(id, policy)) });
      for (const id of [two, ids[3] ?? '']) await door().call(cancelTask, { id }, rig.token('root'));
      const claim = await leased();
      for (const [pageSize, count] of [
        [0, 1],
        [1, 4],
        [3, 2],
      ] as const) {
        const { results, pages } = await resultsFor(claim, 'root', pageSize);
        expect(pages).toBe(count);
        expect(results.map((result) => [result.taskId, result.taskType, TaskState[result.state]])).toEqual([
          [ids[0], first, 'SUCCEEDED'],
          [ids[1], first, 'CANCELLED'],
          [ids[2], first, 'SUCCEEDED'],
          [ids[3], 'a.plain', 'CANCELLED'],
        ]);
        expect(results.map(outputOf)).toEqual([1, undefined, 3, undefined]);
        expect(results.map(({ error }) => error?.code)).toEqual([undefined, 'BROKEN', undefined, undefined]);
      }
      await finish(claim);
    });

    it('withhold what who submitted the task could not read', async () => {
      const shared = await succeeded(1);
      await submit({ type: second, dependencies: [onTask(shared)] }, 'planner');
      const claim = await leased();
      const { results } = await resultsFor(claim);
      expect(results).toMatchObject([
        { taskId: shared, taskType: first, state: TaskState.SUCCEEDED, outputWithheld: true },
      ]);
      expect(results[0]?.output).toBeUndefined();
      await finish(claim);
    });

    it('are for the holder of the lease alone, while it is held', async () => {
      await submit({ type: second, dependencies: [onTask(await succeeded(1))] });
      const claim = await leased();
      const { session, lease } = claim;
      const lost = { code: 'FailedPrecondition', reason: 'LEASE_LOST', metadata: { task_id: lease.taskId } };
      const refused = (request: object, who: Who = 'root') =>
        expectRefused(() => door().call(getDependencyResults, { ...claim, ...request }, rig.token(who)), lost);
      await refused({ session: { ...session, resumeSecret: 'guessed' } });
      await refused({ session: { ...session, sessionId: noTask } });
      await refused({ lease: { ...lease, attempt: lease.attempt + 1 } });
      await refused({ lease: { ...lease, leaseId: noTask } });
      await refused({ namespace: 'elsewhere' });
      await refused({}, 'alice');
      await finish(claim);
      await refused({});
      const unknown = { ...lease, taskId: noTask };
      await expectRefused(() => door().call(getDependencyResults, { session, lease: unknown }, rig.token('root')), {
        ...lost,
        metadata: { task_id: noTask },
      });
    });

    it('fit into messages however large they are', async () => {
      const size = limits.payloadBytesMaxDefault - 100;
      const ids: string[] = [];
      for (let count = 0; count < 5; count += 1) ids.push(await succeeded('x'.repeat(size - 2)));
      await submit({ type: second, dependencies: ids.map((id) => onTask(id)) });
      const claim = await leased();
      const { results, pages } = await resultsFor(claim);
      expect(pages).toBe(5);
      expect(results.map(outputOf).map((text) => String(text).length)).toEqual(Array(5).fill(size - 2));
      await finish(claim);
    }, 60_000);
  });
});
