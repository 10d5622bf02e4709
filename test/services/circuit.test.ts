import { CircuitMode, CircuitState } from '@dstc/contract/dstc/v1/circuit_pb';
import { FailureKind } from '@dstc/contract/dstc/v1/task_pb';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Expected } from './bad-input/bad-call.ts';
import { expectRefused } from './refused.ts';
import { doorNames, type Rig, startRig, type Who } from './rig.ts';

const { applyTaskType, getTaskType, listTaskTypes, setTaskTypeCircuit } = TaskTypeService.method;
const { submitTask } = TaskService.method;
const { leaseTasks, reportTasks } = WorkerService.method;

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

describe.each(doorNames)('over %s', (doorName) => {
  const door = () => rig.doors[doorName];
  const refused = (call: () => Promise<unknown>, expected: Expected) => expectRefused(rig, doorName, call, expected);
  const name = (rest: string) => `a.${doorName === 'gRPC' ? 'grpc' : 'json'}.${rest}`;
  const apply = async (taskType: object) =>
    (await door().call(applyTaskType, { taskType }, rig.token('root'))).taskType;
  const set = async (type: string, mode: CircuitMode, reason = '', who: Who = 'alice') =>
    (await door().call(setTaskTypeCircuit, { name: type, mode, reason }, rig.token(who))).taskType?.status?.circuit;

  it('fills in the defaults of a breaker, and keeps what is set', async () => {
    expect((await apply({ name: name('none') }))?.circuitBreaker).toBeUndefined();
    const byDefault = await apply({ name: name('empty'), circuitBreaker: {} });
    expect(byDefault?.circuitBreaker).toMatchObject({
      failureRatio: 0,
      attemptsMin: 20,
      window: { seconds: 60n },
      openDuration: { seconds: 30n },
      probes: 1,
    });
    const circuitBreaker = {
      failureRatio: 0.25,
      attemptsMin: 1,
      window: { seconds: 3_600n },
      openDuration: { seconds: 1n },
      probes: 1_000,
    };
    expect((await apply({ name: name('full'), circuitBreaker }))?.circuitBreaker).toMatchObject(circuitBreaker);
    expect((await apply({ name: name('full') }))?.circuitBreaker).toBeUndefined();
  });

  it('shows a circuit that is closed until somebody opens it, and who that was', async () => {
    const type = name('shown');
    const applied = await apply({ name: type });
    expect(applied?.status?.circuit).toMatchObject({ state: CircuitState.CLOSED, actor: '', attempts: 0 });
    expect(applied?.status?.circuit?.time).toBeUndefined();

    const open = await set(type, CircuitMode.FORCED_OPEN, 'the provider is away');
    expect(open).toMatchObject({
      state: CircuitState.FORCED_OPEN,
      actor: expect.stringContaining('alice'),
      reason: 'the provider is away',
    });
    const { taskType } = await door().call(getTaskType, { name: type }, rig.token('clerk'));
    expect(taskType?.status?.circuit).toEqual(open);
    expect(taskType?.etag).toBe(applied?.etag);
    const { taskTypes } = await door().call(listTaskTypes, {}, rig.token('clerk'));
    expect(taskTypes.find((each) => each.name === type)?.status?.circuit).toEqual(open);

    expect(await set(type, CircuitMode.FORCED_OPEN, 'again', 'root')).toEqual(open);
    expect(await set(type, CircuitMode.FORCED_CLOSED)).toMatchObject({ state: CircuitState.FORCED_CLOSED, reason: '' });
    expect(await set(type, CircuitMode.AUTOMATIC)).toMatchObject({ state: CircuitState.CLOSED });
  });

  it('leaves no trace where a circuit that was always closed is left to its breaker', async () => {
    await apply({ name: name('untouched') });
    const before = await rig.rowCounts();
    expect((await set(name('untouched'), CircuitMode.AUTOMATIC))?.time).toBeUndefined();
    expect(await rig.rowCounts()).toEqual(before);
  });

  it('opens with a fatal failure that is reported without a stream', async () => {
    const type = name('fatal');
    await apply({ name: type });
    for (let n = 0; n < 2; n += 1) await door().call(submitTask, { type }, rig.token('alice'));
    const { session, assignments } = await door().call(leaseTasks, { taskTypes: [type] }, rig.token('alice'));
    const [lease] = assignments.map((assignment) => assignment.lease);
    if (session === undefined || lease === undefined) throw new Error('nothing was leased');
    const error = { code: 'KEY_REVOKED', message: 'no', kind: FailureKind.FATAL };
    await door().call(reportTasks, { session, failed: { items: [{ lease, error }] } }, rig.token('alice'));
    expect((await door().call(leaseTasks, { session, taskTypes: [type] }, rig.token('alice'))).assignments).toEqual([]);
    const { taskType } = await door().call(getTaskType, { name: type }, rig.token('clerk'));
    expect(taskType?.status?.circuit).toMatchObject({ state: CircuitState.OPEN, actor: 'system:circuit' });
  });

  it('is out of reach without the permission, and is not found when it is not there', async () => {
    const denied = (about: Record<string, string>) => ({
      code: 'PermissionDenied',
      reason: 'PERMISSION_MISSING',
      metadata: { permission: 'pause', namespace: 'default', ...about },
    });
    await apply({ name: name('guarded') });
    await refused(() => set(name('guarded'), CircuitMode.FORCED_OPEN, '', 'clerk'), denied({}));
    for (const type of ['b.plain', 'b.missing']) {
      await refused(() => set(type, CircuitMode.FORCED_OPEN), denied({ task_type: type }));
    }
    await refused(() => set('a.missing', CircuitMode.FORCED_OPEN), {
      code: 'NotFound',
      reason: 'TASK_TYPE_NOT_FOUND',
      metadata: { task_type: 'a.missing' },
    });
  });
});
