import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { FailureKind, TaskState } from '@dstc/contract/dstc/v1/task_pb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { refusalOf } from '../doors/rig.ts';
import { leaseOf, outcomeOf } from '../setup/raw-worker.ts';
import { acceptance, type EngineRig, failure, quickRetry, release, startEngineRig, success } from './rig.ts';

let rig: EngineRig;
beforeAll(async () => {
  rig = await startEngineRig();
});
afterAll(() => rig.stop());

/** A task that a worker has accepted. */
async function running(type: string) {
  const id = await rig.submit(type);
  const worker = await rig.workerOf(type);
  const lease = leaseOf((await worker.assignments(1))[0]);
  worker.send(acceptance(lease));
  return { id, worker, lease };
}

/** A task that has failed for good, of a type that a worker works on. */
async function deadLetter(type: string) {
  const { id, worker, lease } = await running(type);
  worker.send(failure(lease, { kind: FailureKind.PERMANENT }));
  await worker.settlements([lease]);
  return { id, worker, lease };
}

/** Another task of the type, to see that the worker is served. */
async function nextAssigned(type: string, worker: Awaited<ReturnType<typeof running>>['worker']): Promise<string> {
  const other = await rig.submit(type);
  const [assignment] = await worker.assignments(1);
  expect(assignment?.lease?.taskId).toBe(other);
  return other;
}

describe('a paused task', () => {
  test('is not leased until it is resumed, and then at once', async () => {
    const type = await rig.type();
    const id = await rig.submit(type);
    const { task } = await rig.tasks.pauseTask({ id, reason: 'wait for me' });
    expect(task).toMatchObject({ state: TaskState.PENDING, paused: true, eventSequence: 2 });
    const worker = await rig.workerOf(type);
    await nextAssigned(type, worker);
    const resumed = await rig.tasks.resumeTask({ id });
    expect(resumed.task).toMatchObject({ state: TaskState.PENDING, paused: false });
    expect((await worker.assignments(1, 900))[0]?.lease?.taskId).toBe(id);
    expect(await rig.kinds(id)).toEqual(['SUBMITTED', 'PAUSED', 'RESUMED', 'LEASED']);
    expect((await rig.stored(id)).events[1]).toMatchObject({ reason: 'wait for me', state: 'PENDING' });
  });

  test('stays what it is when it is paused or resumed again', async () => {
    const id = await rig.submit(await rig.type());
    await rig.tasks.resumeTask({ id });
    expect(await rig.kinds(id)).toEqual(['SUBMITTED']);
    await rig.tasks.pauseTask({ id });
    const before = await rig.stored(id);
    await rig.tasks.pauseTask({ id, reason: 'again' });
    expect(await rig.stored(id)).toEqual(before);
  });

  test.each([
    ['a failure that may pass', failure],
    ['a release', release],
  ])('that runs goes on, and after %s no attempt follows until it is resumed', async (_, report) => {
    const type = await rig.type();
    const { id, worker, lease } = await running(type);
    const { task } = await rig.tasks.pauseTask({ id });
    expect(task).toMatchObject({ state: TaskState.RUNNING, paused: true });
    worker.send(report(lease));
    expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
    expect((await rig.stored(id)).row).toMatchObject({ state: 'PENDING', pausedTime: expect.any(Date) });
    await nextAssigned(type, worker);
    await rig.tasks.resumeTask({ id });
    expect((await worker.assignments(1))[0]?.lease?.taskId).toBe(id);
  });

  test('that runs may succeed, and is not paused any more then', async () => {
    const { id, worker, lease } = await running(await rig.type());
    await rig.tasks.pauseTask({ id });
    worker.send(success(lease));
    await worker.settlements([lease]);
    const { task } = await rig.tasks.getTask({ id });
    expect(task).toMatchObject({ state: TaskState.SUCCEEDED, paused: false });
  });

  test('can be cancelled', async () => {
    const id = await rig.submit(await rig.type());
    await rig.tasks.pauseTask({ id });
    const { task } = await rig.tasks.cancelTask({ id });
    expect(task).toMatchObject({ state: TaskState.CANCELLED, paused: false });
  });

  test('does not outlive its total deadline', async () => {
    const id = await rig.submit(await rig.type(), { deadlines: { total: durationFromMs(300) } });
    await rig.tasks.pauseTask({ id });
    expect(await rig.end(id)).toBe('FAILED');
    expect((await rig.stored(id)).row.error?.code).toBe('TOTAL_DEADLINE_EXCEEDED');
  });
});

describe('a redrive', () => {
  test('gives a dead letter all its attempts again and keeps its history', async () => {
    const type = await rig.type({ retryPolicy: { ...quickRetry, attemptsMax: 3 } });
    const { id, worker } = await deadLetter(type);
    // The worker may have it again before the answer is here.
    const { task } = await rig.tasks.redriveTask({ id, reason: 'the provider is back' });
    expect(task).toMatchObject({ attemptsMax: 4 });
    expect(task?.finishedTime).toBeUndefined();
    for (const attempt of [2, 3, 4]) {
      const lease = leaseOf((await worker.assignments(1, 900))[0]);
      expect(lease).toMatchObject({ taskId: id, attempt });
      worker.send(failure(lease));
      await worker.settlements([lease]);
    }
    expect(await rig.end(id)).toBe('FAILED');
    const retry = ['LEASED', 'RETRY_SCHEDULED'];
    const kinds = (await rig.kinds(id)).filter((kind) => kind !== 'STARTED');
    expect(kinds).toEqual(['SUBMITTED', 'LEASED', 'FAILED', 'REDRIVEN', ...retry, ...retry, 'LEASED', 'FAILED']);
  });

  test('waits as long as it is told', async () => {
    const type = await rig.type();
    const { id, worker } = await deadLetter(type);
    await rig.tasks.redriveTask({ id, delay: durationFromMs(1_500) });
    const [assignment] = await worker.assignments(1, 10_000);
    expect(assignment?.lease).toMatchObject({ taskId: id, attempt: 2 });
    const { events } = await rig.stored(id);
    const [redriven, leased] = events.slice(-2);
    expect(Number(leased?.time) - Number(redriven?.time)).toBeGreaterThanOrEqual(1_490);
    expect(redriven).toMatchObject({ kind: 'redriven', retryDelayMs: '1500' });
  });

  test('counts the start and the total deadline anew', async () => {
    const type = await rig.type();
    const deadlines = { start: durationFromMs(60_000), total: durationFromMs(120_000) };
    const id = await rig.submit(type, { deadlines });
    const worker = await rig.workerOf(type);
    const lease = leaseOf((await worker.assignments(1))[0]);
    await rig.sql`UPDATE task SET total_deadline = now() + interval '1 s' WHERE id = ${id}`;
    worker.send(failure(lease, { kind: FailureKind.PERMANENT }));
    await worker.settlements([lease]);
    await rig.tasks.redriveTask({ id, delay: durationFromMs(30_000) });
    const { row, events } = await rig.stored(id);
    const since = (at: Date | null) => Number(at) - Number(events.at(-1)?.time);
    expect([row.availableTime, row.startDeadline, row.totalDeadline].map(since)).toEqual([30_000, 90_000, 120_000]);
  });

  test('takes another input, without the checkpoint of the old one', async () => {
    const inputSchema = { type: 'object', required: ['n'], properties: { n: { type: 'number' } } };
    const type = await rig.type({ inputSchema });
    const json = (text: string) => ({ value: { case: 'data' as const, value: Buffer.from(text) } });
    const id = await rig.submit(type, { input: json('{"n":1}') });
    const worker = await rig.workerOf(type);
    const lease = leaseOf((await worker.assignments(1))[0]);
    worker.send({
      case: 'progress',
      value: { items: [{ lease, progress: { percent: 5, checkpoint: Buffer.from('half') } }] },
    });
    worker.send(failure(lease, { kind: FailureKind.PERMANENT }));
    await worker.settlements([lease]);
    expect(Buffer.from((await rig.stored(id)).row.checkpoint ?? []).toString()).toBe('half');

    const before = await rig.stored(id);
    expect(await refusalOf(rig.tasks.redriveTask({ id, input: json('{"n":"1"}') }))).toMatchObject({
      reason: 'INPUT_INVALID',
    });
    const large = json(`{"n":${'1'.repeat(3_000_000)}}`);
    expect(await refusalOf(rig.tasks.redriveTask({ id, input: large }))).toMatchObject({ reason: 'PAYLOAD_TOO_LARGE' });
    expect(await rig.stored(id)).toEqual(before);

    await rig.tasks.redriveTask({ id, input: json('{"n":2}') });
    const [assignment] = await worker.assignments(1);
    expect(Buffer.from(assignment?.input?.value.value as Uint8Array).toString()).toBe('{"n":2}');
    expect(assignment?.checkpoint ?? Buffer.of()).toHaveLength(0);
  });

  test('without another input keeps the checkpoint', async () => {
    const type = await rig.type();
    const { id, worker, lease } = await running(type);
    worker.send({ case: 'progress', value: { items: [{ lease, progress: { checkpoint: Buffer.from('half') } }] } });
    worker.send(failure(lease, { kind: FailureKind.PERMANENT }));
    await worker.settlements([lease]);
    await rig.tasks.redriveTask({ id });
    expect(Buffer.from((await worker.assignments(1))[0]?.checkpoint ?? []).toString()).toBe('half');
  });

  test.each(['SUCCEEDED', 'CANCELLED', 'PENDING'])('is for dead letters: one that is %s is refused', async (state) => {
    const id = await rig.submit(await rig.type());
    if (state !== 'PENDING') {
      await rig.sql`UPDATE task SET state = ${state}::task_state, finished_time = now() WHERE id = ${id}`;
    }
    const before = await rig.stored(id);
    const refusal = await refusalOf(rig.tasks.redriveTask({ id }));
    expect(refusal).toMatchObject({ code: 'FailedPrecondition', reason: 'STATE_CONFLICT' });
    expect(await rig.stored(id)).toEqual(before);
  });
});

describe('a discarded task', () => {
  test('stays failed, is no dead letter any more, and is neither redriven nor skipped', async () => {
    const { id } = await deadLetter(await rig.type());
    const { task } = await rig.tasks.discardTask({ id, reason: 'the customer is gone' });
    expect(task).toMatchObject({ state: TaskState.FAILED, discarded: true });
    const before = await rig.stored(id);
    expect(before.events.at(-1)).toMatchObject({ kind: 'discarded', reason: 'the customer is gone' });
    await rig.tasks.discardTask({ id });
    expect(await refusalOf(rig.tasks.redriveTask({ id }))).toMatchObject({ reason: 'STATE_CONFLICT' });
    expect(await refusalOf(rig.tasks.skipTask({ id }))).toMatchObject({ reason: 'STATE_CONFLICT' });
    expect(await rig.stored(id)).toEqual(before);
  });
});

describe('a skip', () => {
  test('ends what waits, is paused or has failed, once', async () => {
    const type = await rig.type();
    const [waiting, paused] = [await rig.submit(type), await rig.submit(type)];
    await rig.tasks.pauseTask({ id: paused });
    const { id: failed } = await deadLetter(await rig.type());
    for (const id of [waiting, paused, failed]) {
      const { task } = await rig.tasks.skipTask({ id, reason: 'not needed' });
      expect(task).toMatchObject({ state: TaskState.SKIPPED, paused: false });
      const before = await rig.stored(id);
      expect(before.events.at(-1)).toMatchObject({ kind: 'skipped', reason: 'not needed' });
      await rig.tasks.skipTask({ id });
      expect(await rig.stored(id)).toEqual(before);
    }
  });

  test('of a running task is refused, with what can be done instead', async () => {
    const { id } = await running(await rig.type());
    const refusal = await refusalOf(rig.tasks.skipTask({ id }));
    expect(refusal).toMatchObject({ reason: 'STATE_CONFLICT' });
    expect(refusal.message).toContain('is RUNNING and cannot be skipped; possible now: cancel, pause');
  });
});

test('one fingerprint stands for failures of one cause', async () => {
  const type = await rig.type();
  const fingerprints: (string | undefined)[] = [];
  for (const code of ['TIMEOUT', 'TIMEOUT', 'REFUSED']) {
    const { id, worker, lease } = await running(type);
    worker.send(failure(lease, { code, kind: FailureKind.PERMANENT }));
    await worker.settlements([lease]);
    worker.cut();
    fingerprints.push((await rig.tasks.getTask({ id })).task?.errorFingerprint);
  }
  expect(fingerprints[0]).toMatch(/^[0-9a-f]{16}$/);
  expect(fingerprints[1]).toBe(fingerprints[0]);
  expect(fingerprints[2]).not.toBe(fingerprints[0]);
});
