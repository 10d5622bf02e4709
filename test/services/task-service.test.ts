import { Code, createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { TaskState } from '@dstc/contract/dstc/v1/task_pb';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { ErrorInfoSchema } from '@dstc/contract/google/rpc/error_details_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestNode } from '../setup/coordinator.ts';
import { noTask } from './bad-input/bad-call.ts';
import { type Caller, grpcCaller, jsonCaller } from './caller.ts';
import { doorNames, type Rig, startRig } from './rig.ts';
import { take } from './unary-worker.ts';

const { submitTask, getTask, awaitTask, cancelTask } = TaskService.method;

let rig: Rig;
let other: TestNode;
/** The doors of another node on the same database. */
let otherDoors: Readonly<Record<(typeof doorNames)[number], Caller>>;

beforeAll(async () => {
  rig = await startRig();
  other = await rig.coordinator.startNode({});
  otherDoors = { gRPC: grpcCaller(other.grpcAddress), 'HTTP/JSON': jsonCaller(other.httpUrl) };
  for (const name of ['a.awaited', 'a.watched', 'a.shown', 'b.plain']) {
    const { applyTaskType } = TaskTypeService.method;
    await rig.doors.gRPC.call(applyTaskType, { taskType: { name } }, rig.token('root'));
  }
});
afterAll(async () => {
  for (const door of Object.values(otherDoors)) door.close();
  await rig.stop();
});

describe.each(doorNames)('over %s', (doorName) => {
  const door = () => rig.doors[doorName];
  async function submitted(type: string): Promise<string> {
    const { task } = await door().call(submitTask, { type }, rig.token('root'));
    return task?.id ?? '';
  }

  describe('AwaitTask', () => {
    it.each([
      ['at the moment of the end', () => door(), 500],
      // It hears of other nodes' changes by looking once a second.
      ['within two seconds of an end on another node', () => otherDoors[doorName], 2_000],
    ])('answers %s', async (_, waitingDoor, withinMs) => {
      const id = await submitted('a.awaited');
      const attempt = await take(door(), rig.token('root'), 'a.awaited');
      const answer = waitingDoor().call(awaitTask, { id, timeout: { seconds: 20n } }, rig.token('root'));
      await attempt.succeed({ n: 1 });
      const endedMs = performance.now();
      expect(await answer).toMatchObject({ finished: true, task: { id, state: TaskState.SUCCEEDED } });
      expect(performance.now() - endedMs).toBeLessThan(withinMs);
    });

    it('answers at once with a task that has ended, whatever the case of its id', async () => {
      const id = await submitted('a.awaited');
      await door().call(cancelTask, { id }, rig.token('root'));
      const startedMs = performance.now();
      const answer = await door().call(awaitTask, { id: id.toUpperCase() }, rig.token('root'));
      expect(answer).toMatchObject({ finished: true, task: { id, state: TaskState.CANCELLED } });
      expect(performance.now() - startedMs).toBeLessThan(500);
    });

    it('answers with the task as it is when the time is over', async () => {
      const id = await submitted('a.awaited');
      const startedMs = performance.now();
      const timeout = { nanos: 300_000_000 };
      const answer = await door().call(awaitTask, { id, timeout }, rig.token('root'));
      expect(answer).toMatchObject({ finished: false, task: { id, state: TaskState.PENDING } });
      expect(performance.now() - startedMs).toBeGreaterThanOrEqual(295);
      expect(performance.now() - startedMs).toBeLessThan(1_000);
      await door().call(cancelTask, { id }, rig.token('root'));
    });

    it('serves a hundred callers that wait for the same task', async () => {
      const id = await submitted('a.awaited');
      const answers = Array.from({ length: 100 }, () => door().call(awaitTask, { id }, rig.token('root')));
      await (await take(door(), rig.token('root'), 'a.awaited')).fail('PERMANENT');
      await door().call(cancelTask, { id }, rig.token('root'));
      expect(new Set((await Promise.all(answers)).map(({ finished }) => finished))).toEqual(new Set([true]));
    });
  });

  describe('WatchTasks', () => {
    const headers = () => ({ authorization: `Bearer ${rig.token('root')}` });
    function watcher(node: { readonly httpUrl: string; readonly grpcAddress: string }) {
      const transport =
        doorName === 'gRPC'
          ? createGrpcTransport({ baseUrl: `http://${node.grpcAddress}` })
          : createConnectTransport({ baseUrl: node.httpUrl, httpVersion: '1.1', useBinaryFormat: false });
      return createClient(TaskService, transport);
    }

    it.each([
      ['this node', () => rig.coordinator],
      ['another node', () => other],
    ])('shows each task as it is and after each change, until all have ended, on %s', async (_, node) => {
      const ids = [await submitted('a.watched'), await submitted('a.watched')];
      const seen = new Map<string, string[]>(ids.map((id) => [id, []]));
      const watching = watcher(node()).watchTasks({ ids }, { headers: headers() })[Symbol.asyncIterator]();
      async function until(state: TaskState, count: number): Promise<void> {
        for (let found = 0; found < count; ) {
          const { value, done } = await watching.next();
          if (done === true || value.task === undefined) throw new Error('the watch has ended');
          seen.get(value.task.id)?.push(`${TaskState[value.task.state]} ${value.task.progress?.percent ?? ''}`.trim());
          if (value.task.state === state) found += 1;
        }
      }
      await until(TaskState.PENDING, 2);
      const first = await take(door(), rig.token('root'), 'a.watched');
      await until(TaskState.RUNNING, 1);
      await first.succeed(1);
      await until(TaskState.SUCCEEDED, 1);
      const second = ids.find((id) => id !== first.assignment.lease?.taskId) ?? '';
      await door().call(cancelTask, { id: second }, rig.token('root'));
      await until(TaskState.CANCELLED, 1);
      expect(await watching.next()).toMatchObject({ done: true });
      expect(seen.get(second)).toEqual(['PENDING', 'CANCELLED']);
      const states = [...new Set(seen.get(first.assignment.lease?.taskId ?? ''))];
      expect(states).toEqual(['PENDING', 'RUNNING', 'SUCCEEDED']);
    });

    it('shows tasks that have ended and ends, whatever the case of their ids', async () => {
      const id = await submitted('a.watched');
      await door().call(cancelTask, { id }, rig.token('root'));
      const states: string[] = [];
      const watching = watcher(rig.coordinator).watchTasks({ ids: [id.toUpperCase()] }, { headers: headers() });
      for await (const { task } of watching) states.push(String(task?.state));
      expect(states).toEqual([String(TaskState.CANCELLED)]);
    });

    it('ends when the token expires', async () => {
      const id = await submitted('a.watched');
      const exp = Math.floor(Date.now() / 1_000) + 2;
      const token = await rig.coordinator.identity.forge({ sub: 'root', client_id: 'root', exp });
      const watching = watcher(rig.coordinator).watchTasks(
        { ids: [id] },
        { headers: { authorization: `Bearer ${token}` } },
      );
      const states: string[] = [];
      const read = (async () => {
        for await (const { task } of watching) states.push(TaskState[task?.state ?? 0] ?? '');
      })();
      await expect(read).rejects.toMatchObject({ code: Code.Unauthenticated });
      expect(Date.now() - exp * 1_000).toBeLessThan(2_000);
      expect(states).toEqual(['PENDING']);
      await door().call(cancelTask, { id }, rig.token('root'));
    });

    it('refuses ids that are not there or not to be seen, all alike', async () => {
      const known = await submitted('a.watched');
      const foreign = await submitted('b.plain');
      for (const id of [noTask, foreign]) {
        const token = await rig.coordinator.identity.forge({ sub: 'alice', client_id: 'alice' });
        const watching = watcher(rig.coordinator).watchTasks(
          { ids: [known, id] },
          { headers: { authorization: `Bearer ${token}` } },
        );
        const read = (async () => {
          for await (const _ of watching);
        })();
        const error = await read.then(
          () => undefined,
          (reason) => reason,
        );
        expect(error?.findDetails(ErrorInfoSchema)).toMatchObject([
          { reason: 'TASK_NOT_FOUND', domain: 'dstc', metadata: { task_id: id } },
        ]);
      }
      await door().call(cancelTask, { id: known }, rig.token('root'));
    });
  });

  it('shows payloads and checkpoints only to those who may read them', async () => {
    const id = await submitted('a.shown');
    const attempt = await take(door(), rig.token('root'), 'a.shown');
    await attempt.progress(50, Buffer.from('so far'));
    await attempt.succeed('secret');
    const all = (await door().call(getTask, { id }, rig.token('alice'))).task;
    expect(all?.output?.value.case).toBe(doorName === 'gRPC' ? 'data' : 'json');
    expect(Buffer.from(all?.progress?.checkpoint ?? []).toString()).toBe('so far');
    const shown = [
      await door().call(getTask, { id }, rig.token('clerk')),
      await door().call(awaitTask, { id }, rig.token('clerk')),
    ];
    for (const { task } of shown) {
      expect(task).toMatchObject({ id, state: TaskState.SUCCEEDED, progress: { percent: 50 } });
      expect([task?.input, task?.output]).toEqual([undefined, undefined]);
      expect(task?.progress?.checkpoint).toHaveLength(0);
    }
  });
});
