import { NamespaceService } from '@dstc/contract/dstc/v1/namespace_service_pb';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Expected } from './bad-input/bad-call.ts';
import { expectRefused } from './refused.ts';
import { doorNames, type Rig, startRig, type Who } from './rig.ts';

const { applyTaskType, getTaskType, listTaskTypes, pauseTaskType, resumeTaskType } = TaskTypeService.method;
const { getNamespace, pauseNamespace, resumeNamespace } = NamespaceService.method;
const { submitTask } = TaskService.method;
const { leaseTasks, reportTasks } = WorkerService.method;

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

describe.each(doorNames)('over %s', (doorName) => {
  const door = () => rig.doors[doorName];
  const letters = doorName === 'gRPC' ? 'grpc' : 'json';
  const refused = (call: () => Promise<unknown>, expected: Expected) => expectRefused(rig, doorName, call, expected);
  const name = `a.${letters}`;
  /** A namespace of the door's own: a pause of one is felt by everybody in it. */
  const namespace = letters;
  const denied = (about: Record<string, string>) => ({
    code: 'PermissionDenied',
    reason: 'PERMISSION_MISSING',
    metadata: { permission: 'pause', ...about },
  });
  /** Does what is due of the type, and answers with the tasks that were. */
  const work = async (inNamespace = 'default') => {
    const about = { namespace: inNamespace };
    const { session, assignments } = await door().call(leaseTasks, { ...about, taskTypes: [name] }, rig.token('root'));
    const items = assignments.flatMap((task) => (task.lease === undefined ? [] : [{ lease: task.lease }]));
    // What is settled leaves nothing behind that is written later.
    if (items.length > 0)
      await door().call(
        reportTasks,
        { ...about, ...(session && { session }), succeeded: { items } },
        rig.token('root'),
      );
    return items.map(({ lease }) => lease.taskId);
  };
  const typeCalls = {
    PauseTaskType: (request: { name: string; namespace?: string }, who: Who) =>
      door().call(pauseTaskType, request, rig.token(who)),
    ResumeTaskType: (request: { name: string; namespace?: string }, who: Who) =>
      door().call(resumeTaskType, request, rig.token(who)),
  };
  const namespaceCalls = {
    PauseNamespace: (who: Who) => door().call(pauseNamespace, {}, rig.token(who)),
    ResumeNamespace: (who: Who) => door().call(resumeNamespace, {}, rig.token(who)),
  };

  beforeAll(async () => {
    await door().call(applyTaskType, { taskType: { name } }, rig.token('root'));
    await door().call(applyTaskType, { taskType: { name, namespace } }, rig.token('root'));
  });

  describe('a task type', () => {
    it('shows who paused it, when and why, until it goes on', async () => {
      const before = await door().call(getTaskType, { name }, rig.token('clerk'));
      expect(before.taskType?.status?.pause).toBeUndefined();
      const request = { name, reason: 'the release of „today“ is broken' };
      const { taskType } = await door().call(pauseTaskType, request, rig.token('alice'));
      const pause = { actor: expect.stringContaining('alice'), reason: request.reason };
      expect(taskType?.status).toMatchObject({ pause });
      expect(Number(taskType?.status?.pause?.time?.seconds)).toBeGreaterThan(0);
      expect(taskType?.etag).toBe(before.taskType?.etag);

      const read = await door().call(getTaskType, { name }, rig.token('clerk'));
      expect(read.taskType).toEqual(taskType);
      const { taskTypes } = await door().call(listTaskTypes, {}, rig.token('clerk'));
      expect(taskTypes.find((type) => type.name === name)).toEqual(taskType);
      const applied = await door().call(applyTaskType, { taskType: { name } }, rig.token('root'));
      expect(applied.taskType?.status).toEqual(taskType?.status);

      const after = await door().call(resumeTaskType, { name }, rig.token('alice'));
      expect(after.taskType?.status?.pause).toBeUndefined();
    });

    it('keeps its first pause when it is paused again, and is resumed again without effect', async () => {
      const first = await door().call(pauseTaskType, { name, reason: 'first' }, rig.token('alice'));
      const again = await door().call(pauseTaskType, { name, reason: 'again' }, rig.token('root'));
      expect(again).toEqual(first);
      const resumed = await door().call(resumeTaskType, { name }, rig.token('alice'));
      expect(await door().call(resumeTaskType, { name }, rig.token('alice'))).toEqual(resumed);
    });

    it('takes submissions while it is paused, and gives them out when it goes on', async () => {
      await door().call(pauseTaskType, { name }, rig.token('alice'));
      const { task } = await door().call(submitTask, { type: name }, rig.token('alice'));
      expect(await work()).toEqual([]);
      await door().call(resumeTaskType, { name }, rig.token('alice'));
      expect(await work()).toEqual([task?.id]);
    });

    describe.each(Object.entries(typeCalls))('by %s', (_, call) => {
      it('is not found when it is not there', async () => {
        await refused(() => call({ name: 'a.missing' }, 'alice'), {
          code: 'NotFound',
          reason: 'TASK_TYPE_NOT_FOUND',
          metadata: { task_type: 'a.missing' },
        });
      });

      it.each(['b.plain', 'b.missing'])('is out of reach for who may not pause %s', async (type) => {
        const expected = denied({ namespace: 'default', task_type: type });
        await refused(() => call({ name: type }, 'alice'), expected);
      });

      it('is out of reach without the permission, and in another namespace', async () => {
        await refused(() => call({ name }, 'clerk'), denied({ namespace: 'default' }));
        await refused(() => call({ name, namespace }, 'alice'), denied({ namespace }));
      });
    });
  });

  describe('a namespace', () => {
    it('shows who paused it, when and why, in itself and in its types', async () => {
      const unused = await door().call(getNamespace, { namespace: 'unused' }, rig.token('root'));
      expect(unused.namespace).toMatchObject({ namespace: 'unused' });
      expect(unused.namespace?.pause).toBeUndefined();

      const request = { namespace, reason: 'the database moves' };
      const paused = await door().call(pauseNamespace, request, rig.token('root'));
      const pause = { actor: expect.stringContaining('root'), reason: request.reason };
      expect(paused.namespace).toMatchObject({ namespace, pause });
      const read = await door().call(getNamespace, { namespace }, rig.token('root'));
      expect(read.namespace).toEqual(paused.namespace);
      const { taskType } = await door().call(getTaskType, { namespace, name }, rig.token('root'));
      expect(taskType?.status?.namespacePause).toEqual(paused.namespace?.pause);
      expect(taskType?.status?.pause).toBeUndefined();

      const again = await door().call(pauseNamespace, { namespace, reason: 'again' }, rig.token('root'));
      expect(again).toEqual(paused);
      const resumed = await door().call(resumeNamespace, { namespace }, rig.token('root'));
      expect(resumed.namespace?.pause).toBeUndefined();
      expect(await door().call(resumeNamespace, { namespace }, rig.token('root'))).toEqual(resumed);
    });

    it('takes submissions while it is paused, and gives them out when it goes on', async () => {
      await door().call(pauseNamespace, { namespace }, rig.token('root'));
      const { task } = await door().call(submitTask, { namespace, type: name }, rig.token('root'));
      expect(await work(namespace)).toEqual([]);
      await door().call(resumeNamespace, { namespace }, rig.token('root'));
      expect(await work(namespace)).toEqual([task?.id]);
    });

    it.each(Object.entries(namespaceCalls))(
      'is out of reach of %s for who may not pause all types',
      async (_, call) => {
        await refused(() => call('alice'), denied({ namespace: 'default', task_type: '*' }));
        await refused(() => call('clerk'), denied({ namespace: 'default' }));
      },
    );

    it('is shown to whoever may read anything in it', async () => {
      const { namespace: found } = await door().call(getNamespace, {}, rig.token('clerk'));
      expect(found).toMatchObject({ namespace: 'default' });
      await refused(() => door().call(getNamespace, { namespace: 'elsewhere' }, rig.token('clerk')), {
        code: 'PermissionDenied',
        reason: 'PERMISSION_MISSING',
        metadata: { permission: 'read', namespace: 'elsewhere' },
      });
    });
  });
});
