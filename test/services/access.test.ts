import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { LabelOperator } from '@dstc/contract/dstc/v1/task_filter_pb';
import { TaskSchema, TaskState } from '@dstc/contract/dstc/v1/task_pb';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { controlMethods, type Expected, noTask } from './bad-input/bad-call.ts';
import { expectRefused, outline, refusalOf } from './refused.ts';
import { doorNames, type Rig, startRig, type Who } from './rig.ts';

const { submitTask, getTask, listTasks, awaitTask, listTaskEvents, cancelTask, redriveTask } = TaskService.method;
const { applyTaskType, getTaskType, listTaskTypes } = TaskTypeService.method;
const { leaseTasks, reportTasks, extendLeases, drainWorker } = WorkerService.method;

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
  const types = [
    { name: 'a.plain' },
    { name: 'a.seen' },
    { name: 'b.plain' },
    { name: 'a.plain', namespace: 'elsewhere' },
  ];
  for (const taskType of types) await rig.doors.gRPC.call(applyTaskType, { taskType }, rig.token('root'));
});
afterAll(() => rig.stop());

describe.each(doorNames)('over %s', (doorName) => {
  const door = () => rig.doors[doorName];
  const refused = (call: () => Promise<unknown>, expected: Expected) => expectRefused(rig, doorName, call, expected);
  const denied = (permission: string, metadata: Record<string, string>) => ({
    code: 'PermissionDenied',
    reason: 'PERMISSION_MISSING',
    metadata: { permission, ...metadata },
  });
  async function submitted(type = 'a.plain', namespace = ''): Promise<string> {
    const { task } = await door().call(submitTask, { type, namespace }, rig.token('root'));
    return task?.id ?? '';
  }

  describe('a page token', () => {
    const pageTokenInvalid = { code: 'InvalidArgument', reason: 'PAGE_TOKEN_INVALID', fields: ['page_token'] };
    async function tokenOf(namespace = ''): Promise<string> {
      for (let count = 0; count < 2; count += 1) await submitted('a.plain', namespace);
      const { nextPageToken } = await door().call(listTasks, { namespace, pageSize: 1 }, rig.token('root'));
      expect(nextPageToken).not.toBe('');
      return nextPageToken;
    }

    it('is refused in a list with another filter', async () => {
      const pageToken = await tokenOf();
      for (const filter of [
        { types: ['a.plain'] },
        { states: [TaskState.PENDING] },
        { labels: { a: '1' } },
        { labelSelectors: [{ key: 'a', operator: LabelOperator.EXISTS }] },
        { createdAfter: {} },
        { finishedBefore: {} },
        { errorCodes: ['X'] },
        { paused: false },
        { deadLettersOnly: true },
      ]) {
        await refused(() => door().call(listTasks, { pageToken, filter }, rig.token('root')), pageTokenInvalid);
      }
    });

    it('is refused in another list', async () => {
      const pageToken = await tokenOf();
      await refused(() => door().call(listTaskTypes, { pageToken }, rig.token('root')), pageTokenInvalid);
      const taskId = await submitted();
      await refused(() => door().call(listTaskEvents, { taskId, pageToken }, rig.token('root')), pageTokenInvalid);
    });

    it('is refused in another namespace', async () => {
      const pageToken = await tokenOf('elsewhere');
      await refused(() => door().call(listTasks, { pageToken }, rig.token('root')), pageTokenInvalid);
      const own = await tokenOf();
      await refused(
        () => door().call(listTasks, { namespace: 'elsewhere', pageToken: own }, rig.token('stranger')),
        pageTokenInvalid,
      );
    });

    it('is refused with any letter changed, added or missing', async () => {
      const pageToken = await tokenOf();
      const altered = [
        ...[...pageToken].map(
          (letter, at) => pageToken.slice(0, at) + (letter === 'x' ? 'y' : 'x') + pageToken.slice(at + 1),
        ),
        `${pageToken}x`,
        `${pageToken}=`,
        pageToken.slice(1),
        pageToken.slice(0, -1),
      ];
      for (const token of altered) {
        const refusal = await refusalOf(door().call(listTasks, { pageToken: token }, rig.token('root')));
        expect(outline(refusal)).toEqual({ ...pageTokenInvalid, metadata: {} });
      }
    });

    it('of somebody who sees more shows no more', async () => {
      await submitted('a.plain');
      await submitted('b.plain');
      const { nextPageToken } = await door().call(listTasks, { pageSize: 1 }, rig.token('root'));
      const { tasks } = await door().call(listTasks, { pageToken: nextPageToken }, rig.token('alice'));
      expect(new Set(tasks.map(({ type }) => type.slice(0, 2)))).toEqual(new Set(['a.']));
    });
  });

  describe('somebody else’s task', () => {
    const reads = {
      GetTask: (id: string) => door().call(getTask, { id }, rig.token('alice')),
      AwaitTask: (id: string) => door().call(awaitTask, { id, timeout: {} }, rig.token('alice')),
      ...Object.fromEntries(
        controlMethods.map((method) => [method.name, (id: string) => door().call(method, { id }, rig.token('alice'))]),
      ),
      ListTaskEvents: (taskId: string) => door().call(listTaskEvents, { taskId }, rig.token('alice')),
    };
    it.each(Object.entries(reads))('looks to %s like one that does not exist', async (_, read) => {
      const whole = (refusal: Awaited<ReturnType<typeof refusalOf>>, id: string) =>
        JSON.parse(JSON.stringify({ ...refusal, message: refusal.message }).replaceAll(id, 'ID'));
      const none = whole(await refusalOf(read(noTask)), noTask);
      expect(none).toMatchObject({
        code: 'NotFound',
        infos: [{ reason: 'TASK_NOT_FOUND', metadata: { task_id: 'ID' } }],
      });
      for (const [type, namespace] of [
        ['b.plain', ''],
        ['a.plain', 'elsewhere'],
      ] as const) {
        const id = await submitted(type, namespace);
        expect(whole(await refusalOf(read(id)), id)).toEqual(none);
        const { task } = await door().call(getTask, { namespace, id }, rig.token('root'));
        expect(task).toMatchObject({ state: TaskState.PENDING, eventSequence: 1 });
      }
    });
  });

  describe('a token for one task type', () => {
    it.each(['b.plain', 'b.missing', 'a'])('is refused to submit %s, whether or not it exists', async (type) => {
      const expected = denied('submit', { namespace: 'default', task_type: type });
      await refused(() => door().call(submitTask, { type }, rig.token('alice')), expected);
    });

    it.each(['b.plain', 'b.missing'])('is refused to work on %s or to configure it', async (type) => {
      const about = { namespace: 'default', task_type: type };
      const lease = { taskTypes: ['a.plain', type] };
      await refused(() => door().call(leaseTasks, lease, rig.token('alice')), denied('work', about));
      const taskType = { name: type };
      await refused(() => door().call(applyTaskType, { taskType }, rig.token('alice')), denied('configure', about));
      await refused(() => door().call(getTaskType, { name: type }, rig.token('alice')), {
        code: 'NotFound',
        reason: 'TASK_TYPE_NOT_FOUND',
        metadata: { task_type: type },
      });
    });

    it('sees only that type in lists that ask for everything', async () => {
      await submitted('b.plain');
      const ofB = await door().call(listTasks, { filter: { types: ['b.plain'] } }, rig.token('alice'));
      expect(ofB).toMatchObject({ tasks: [], nextPageToken: '' });
      const { tasks } = await door().call(listTasks, { pageSize: 1_000 }, rig.token('alice'));
      expect(tasks.filter(({ type }) => !type.startsWith('a.'))).toEqual([]);
      const { taskTypes } = await door().call(listTaskTypes, {}, rig.token('alice'));
      expect(taskTypes.map(({ name }) => name)).toEqual(['a.plain', 'a.seen']);
    });

    it('is refused everything in another namespace', async () => {
      const namespace = 'elsewhere';
      const expected = (permission: string) => denied(permission, { namespace });
      await refused(() => door().call(listTasks, { namespace }, rig.token('alice')), expected('read'));
      await refused(
        () => door().call(submitTask, { namespace, type: 'a.plain' }, rig.token('alice')),
        expected('submit'),
      );
      await refused(
        () => door().call(listTaskTypes, { namespace: 'nowhere' }, rig.token('alice')),
        denied('read', { namespace: 'nowhere' }),
      );
    });

    it('is refused what its role does not allow', async () => {
      const expected = (permission: string) => denied(permission, { namespace: 'default' });
      await refused(() => door().call(submitTask, { type: 'a.plain' }, rig.token('clerk')), expected('submit'));
      const id = await submitted();
      const permissions = ['cancel', 'pause', 'pause', 'cancel', 'redrive', 'redrive'];
      for (const [at, method] of controlMethods.entries()) {
        await refused(() => door().call(method, { id }, rig.token('clerk')), expected(permissions[at] ?? ''));
      }
    });
  });

  it('another input for a dead letter is a submission, and needs that permission as well', async () => {
    const id = await submitted('a.plain');
    await rig.sql`UPDATE task SET state = 'FAILED', finished_time = now() WHERE id = ${id}`;
    const input = { value: { case: 'data' as const, value: Buffer.from('2') } };
    await refused(() => door().call(redriveTask, { id, input }, rig.token('mender')), {
      ...{ code: 'PermissionDenied', reason: 'PERMISSION_MISSING' },
      metadata: { permission: 'submit', namespace: 'default', task_type: 'a.plain' },
    });
    const { task } = await door().call(redriveTask, { id }, rig.token('mender'));
    expect(task?.state).toBe(TaskState.PENDING);
  });

  describe('who may steer tasks of a type and not read them', () => {
    const { redriveTasks } = TaskService.method;
    const labels = { customer: 'acme' };

    /** A dead letter, with all that only a reader may know. */
    async function failedTask(type = 'a.plain'): Promise<string> {
      const request = { type, labels, idempotencyKey: randomUUID() };
      const { task } = await door().call(submitTask, request, rig.token('root'));
      const id = task?.id ?? '';
      const error = { code: 'BROKEN', message: 'card 4711 was refused', kind: 'PERMANENT' };
      await rig.sql`
        UPDATE task SET state = 'FAILED', finished_time = now(), error = ${rig.sql.json(error)},
          error_fingerprint = ${'0'.repeat(16)} WHERE id = ${id}`;
      return id;
    }

    it.each([
      ['redriveTask', TaskState.PENDING, {}],
      ['pauseTask', TaskState.PENDING, { paused: true }],
      ['resumeTask', TaskState.PENDING, {}],
      ['cancelTask', TaskState.CANCELLED, {}],
      ['skipTask', TaskState.SKIPPED, {}],
      ['discardTask', TaskState.FAILED, { discarded: true }],
    ] as const)('is told by %s which task it was and how it stands, and nothing else', async (name, state, flags) => {
      const id = await steerable(name);
      const { task } = await steer(name, id, 'stopper');
      expect(task).toEqual(create(TaskSchema, { id, namespace: 'default', type: 'a.plain', state, ...flags }));
      const seen = await steer(name, await steerable(name), 'root');
      expect(seen.task?.labels).toEqual(labels);
    });

    function steer(name: string, id: string, who: Who) {
      const method = controlMethods.find(({ localName }) => localName === name);
      if (method === undefined) throw new Error(`no RPC ${name}`);
      return door().call(method, { id }, rig.token(who));
    }

    /** A task that the command may be given to. */
    async function steerable(name: string): Promise<string> {
      const id = await failedTask();
      const waits = name === 'pauseTask' || name === 'resumeTask' || name === 'cancelTask';
      if (waits) await door().call(redriveTask, { id }, rig.token('root'));
      return id;
    }

    it.each([
      ['labels', { labels }],
      ['the presence of a label', { labelSelectors: [{ key: 'customer', operator: LabelOperator.EXISTS }] }],
      ['error codes', { errorCodes: ['BROKEN'] }],
      ['fingerprints', { errorFingerprints: ['0'.repeat(16)] }],
      ['times', { createdAfter: {} }],
    ])('learns nothing from a dry run by %s', async (_, filter) => {
      await failedTask('a.seen');
      await failedTask('a.plain');
      const request = { filter: { ...filter, states: [TaskState.FAILED] }, dryRun: true };
      const counted = await door().call(redriveTasks, request, rig.token('stopper'));
      const readable = await door().call(
        redriveTasks,
        { ...request, filter: { ...request.filter, types: ['a.seen'] } },
        rig.token('root'),
      );
      expect(readable.matched).toBeGreaterThan(0);
      expect(counted).toEqual(readable);
    });

    it('may give an order by type and state', async () => {
      const request = { filter: { types: ['a.plain'], states: [TaskState.FAILED] }, dryRun: true };
      await failedTask();
      const { matched } = await door().call(redriveTasks, request, rig.token('stopper'));
      expect(matched).toBeGreaterThan(0);
    });
  });

  describe('a cancel', () => {
    it('of a task that has ended in another way is refused', async () => {
      const id = await submitted('a.plain');
      await rig.sql`UPDATE task SET state = 'FAILED', finished_time = now() WHERE id = ${id}`;
      await refused(() => door().call(cancelTask, { id }, rig.token('root')), {
        code: 'FailedPrecondition',
        reason: 'STATE_CONFLICT',
        metadata: { task_id: id, state: 'FAILED', possible: 'skip, redrive, discard' },
      });
    });

    it('of a cancelled task changes nothing', async () => {
      const id = await submitted('a.plain');
      const { task } = await door().call(cancelTask, { id, reason: 'first' }, rig.token('root'));
      const again = await door().call(cancelTask, { id, reason: 'second' }, rig.token('root'));
      expect(again.task).toEqual(task);
    });
  });

  describe('a worker', () => {
    async function sessionOf(taskTypes: string[], namespace = ''): Promise<string> {
      const { session } = await door().call(leaseTasks, { taskTypes, namespace }, rig.token('root'));
      return session?.sessionId ?? '';
    }

    it('of somebody else’s types looks to DrainWorker like one that does not exist', async () => {
      const notFound = (id: string) => ({
        code: 'NotFound',
        reason: 'SESSION_NOT_FOUND',
        metadata: { session_id: id },
      });
      const ids = [
        await sessionOf(['b.idle']),
        await sessionOf(['a.idle'], 'elsewhere'),
        '01890a5d-ac96-774b-bcce-b302099a8057',
      ];
      for (const sessionId of ids) {
        await refused(() => door().call(drainWorker, { sessionId }, rig.token('alice')), notFound(sessionId));
      }
    });

    it('is drained only by who operates every one of its types', async () => {
      const sessionId = await sessionOf(['a.idle', 'b.idle']);
      await refused(
        () => door().call(drainWorker, { sessionId }, rig.token('alice')),
        denied('operate', { namespace: 'default', task_type: 'b.idle' }),
      );
      await refused(
        () => door().call(drainWorker, { sessionId }, rig.token('clerk')),
        denied('operate', { namespace: 'default' }),
      );
    });
  });

  describe('a worker without a stream', () => {
    it('is refused with a session that is not its own', async () => {
      const { session } = await door().call(leaseTasks, { taskTypes: ['a.idle'] }, rig.token('root'));
      const expected = {
        code: 'NotFound',
        reason: 'SESSION_NOT_FOUND',
        metadata: { session_id: session?.sessionId ?? '' },
      };
      const secret = { sessionId: session?.sessionId ?? '', resumeSecret: 'guessed' };
      await refused(() => door().call(extendLeases, { session: secret }, rig.token('root')), expected);
      if (session === undefined) throw new Error('no session');
      await refused(() => door().call(reportTasks, { session }, rig.token('alice')), expected);
    });
  });
});
