import { TaskState } from '@dstc/contract/dstc/v1/task_pb';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Expected } from './bad-input/bad-call.ts';
import { expectRefused } from './refused.ts';
import { doorNames, type Rig, startRig, type Who } from './rig.ts';

const { applyTaskType, deleteTaskType, getTaskType, listTaskTypes, pauseTaskType, setTaskTypeCircuit } =
  TaskTypeService.method;
const { submitTask, getTask, cancelTask, pauseTask } = TaskService.method;

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

describe.each(doorNames)('over %s', (doorName) => {
  const door = () => rig.doors[doorName];
  const refused = (call: () => Promise<unknown>, expected: Expected) => expectRefused(rig, doorName, call, expected);
  const name = (rest: string) => `a.${doorName === 'gRPC' ? 'grpc' : 'json'}.${rest}`;
  const apply = async (type: string) =>
    (await door().call(applyTaskType, { taskType: { name: type, description: type } }, rig.token('root'))).taskType;
  const remove = (type: string, etag = '', who: Who = 'alice') =>
    door().call(deleteTaskType, { name: type, etag }, rig.token(who));
  const submit = async (type: string) => (await door().call(submitTask, { type }, rig.token('alice'))).task?.id ?? '';
  const notFound = (type: string) => ({
    code: 'NotFound',
    reason: 'TASK_TYPE_NOT_FOUND',
    metadata: { task_type: type },
  });

  it('is gone from every answer at once on this node', async () => {
    const type = name('gone');
    await apply(type);
    await remove(type);
    const calls = {
      get: () => door().call(getTaskType, { name: type }, rig.token('alice')),
      submit: () => submit(type),
      pause: () => door().call(pauseTaskType, { name: type }, rig.token('alice')),
      setCircuit: () => door().call(setTaskTypeCircuit, { name: type, mode: 2 }, rig.token('alice')),
      deleteAgain: () => remove(type),
    };
    for (const call of Object.values(calls)) await refused(call, notFound(type));
    const { taskTypes } = await door().call(listTaskTypes, {}, rig.token('alice'));
    expect(taskTypes.map((each) => each.name)).not.toContain(type);
  });

  it('keeps its ended tasks readable', async () => {
    const type = name('ended');
    await apply(type);
    const id = await submit(type);
    await door().call(cancelTask, { id }, rig.token('alice'));
    await remove(type);
    const { task } = await door().call(getTask, { id }, rig.token('alice'));
    expect(task).toMatchObject({ type, state: TaskState.CANCELLED });
  });

  it.each(['waiting', 'paused'] as const)('is refused while a task of it is %s', async (how) => {
    const type = name(how);
    await apply(type);
    const id = await submit(type);
    if (how === 'paused') await door().call(pauseTask, { id }, rig.token('alice'));
    await refused(() => remove(type), {
      code: 'FailedPrecondition',
      reason: 'STATE_CONFLICT',
      metadata: { task_type: type },
    });
    await door().call(cancelTask, { id }, rig.token('alice'));
    await remove(type);
  });

  it('deletes just the version that was read, by its etag', async () => {
    const type = name('etag');
    const first = await apply(type);
    const second = await apply(type);
    for (const etag of [first?.etag, "' OR 1=1", 'a\u0000b']) {
      await refused(() => remove(type, etag), {
        code: 'Aborted',
        reason: 'ETAG_MISMATCH',
        metadata: { task_type: type },
      });
    }
    await remove(type, second?.etag);
  });

  it('begins anew when it is applied again: not paused, with a new age', async () => {
    const type = name('again');
    const before = await apply(type);
    await door().call(pauseTaskType, { name: type }, rig.token('alice'));
    await remove(type);
    await refused(
      () => door().call(applyTaskType, { taskType: { name: type, etag: before?.etag ?? '' } }, rig.token('root')),
      {
        code: 'Aborted',
        reason: 'ETAG_MISMATCH',
        metadata: { task_type: type },
      },
    );
    const after = await apply(type);
    expect(after?.status?.pause).toBeUndefined();
    const [old, young] = [before, after].map((each) => each?.createTime);
    expect(Number(young?.seconds) * 1e9 + Number(young?.nanos)).toBeGreaterThan(
      Number(old?.seconds) * 1e9 + Number(old?.nanos),
    );
    await submit(type);
  });

  it('is out of reach without the permission, whether or not it exists', async () => {
    const denied = (about: Record<string, string>) => ({
      code: 'PermissionDenied',
      reason: 'PERMISSION_MISSING',
      metadata: { permission: 'configure', namespace: 'default', ...about },
    });
    await apply(name('guarded'));
    await refused(() => remove(name('guarded'), '', 'clerk'), denied({}));
    for (const type of ['b.plain', 'b.missing']) await refused(() => remove(type), denied({ task_type: type }));
    await refused(() => remove('a.missing'), notFound('a.missing'));
  });
});
