import { FailureKind } from '@dstc/contract/dstc/v1/task_pb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { leaseOf, outcomeOf } from '../setup/raw-worker.ts';
import { type EngineRig, failure, quickRetry, startEngineRig, success } from './rig.ts';

let rig: EngineRig;
beforeAll(async () => {
  rig = await startEngineRig();
});
afterAll(() => rig.stop());

test('tries a transient failure again, until the attempts are used up', async () => {
  const type = await rig.type({ retryPolicy: { ...quickRetry, attemptsMax: 3 } });
  const id = await rig.submit(type);
  const worker = await rig.workerOf(type);
  const attempts: number[] = [];
  for (let n = 0; n < 3; n += 1) {
    const [assignment] = await worker.assignments(1);
    attempts.push(leaseOf(assignment).attempt);
    worker.send(failure(leaseOf(assignment), { code: `TRY_${n + 1}` }));
  }
  expect(await rig.end(id)).toBe('FAILED');
  expect(attempts).toEqual([1, 2, 3]);
  const { events, row } = await rig.stored(id);
  expect(events.map((event) => event.kind).filter((kind) => kind !== 'started')).toEqual([
    'submitted',
    ...['leased', 'retry_scheduled', 'leased', 'retry_scheduled', 'leased', 'failed'],
  ]);
  expect(row.error).toEqual({ code: 'TRY_3', message: 'it broke', kind: 'TRANSIENT' });
});

test('waits for the backoff, drawn from zero to its bound', async () => {
  const policy = {
    attemptsMax: 8,
    initialDelay: { nanos: 40_000_000 },
    multiplier: 2,
    delayMax: { nanos: 100_000_000 },
  };
  const type = await rig.type({ retryPolicy: policy });
  const id = await rig.submit(type);
  const worker = await rig.workerOf(type);
  for (let n = 0; n < 8; n += 1) worker.send(failure(leaseOf((await worker.assignments(1))[0])));
  await rig.end(id);
  const { events } = await rig.stored(id);
  const delays = events.flatMap((event) => (event.retryDelayMs === null ? [] : [Number(event.retryDelayMs)]));
  const bounds = [40, 80, 100, 100, 100, 100, 100];
  expect(delays).toHaveLength(bounds.length);
  for (const [index, delay] of delays.entries()) expect(delay).toBeLessThanOrEqual(bounds[index] ?? 0);
  expect(new Set(delays).size).toBeGreaterThan(1);
  for (const [index, event] of events.entries()) {
    const before = events[index - 1];
    if (before?.kind !== 'retry_scheduled') continue;
    expect(event.time.getTime() - before.time.getTime()).toBeGreaterThanOrEqual(Number(before.retryDelayMs) - 1);
  }
});

test('honours the wait that a worker asks for', async () => {
  const type = await rig.type();
  const id = await rig.submit(type);
  const worker = await rig.workerOf(type);
  worker.send(failure(leaseOf((await worker.assignments(1))[0]), {}, 700));
  const [again] = await worker.assignments(1);
  const { events } = await rig.stored(id);
  const [failed, leased] = events.slice(-2);
  expect([failed?.kind, Number(failed?.retryDelayMs), leased?.kind]).toEqual(['retry_scheduled', 700, 'leased']);
  expect(Number(leased?.time) - Number(failed?.time)).toBeGreaterThanOrEqual(700);
  worker.send(success(leaseOf(again)));
});

describe('another attempt cannot help', () => {
  test.each([
    ['a permanent failure', { kind: FailureKind.PERMANENT }],
    ['a fatal failure', { kind: FailureKind.FATAL }],
    ['a code that the policy names', { code: 'NO_SUCH_ADDRESS' }],
  ])('after %s', async (_, error) => {
    const type = await rig.type({ retryPolicy: { ...quickRetry, nonRetryableCodes: ['NO_SUCH_ADDRESS'] } });
    const id = await rig.submit(type);
    const worker = await rig.workerOf(type);
    const lease = leaseOf((await worker.assignments(1))[0]);
    worker.send(failure(lease, error, 10));
    expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
    expect(await rig.state(id)).toBe('FAILED');
    expect((await rig.stored(id)).row.attempt).toBe(1);
  });
});

describe('a result that the schema does not allow', () => {
  const outputSchema = { type: 'object', required: ['sum'], properties: { sum: { type: 'number' } } };
  const output = (text: string) => ({ value: { case: 'data', value: Buffer.from(text) } }) as const;

  test.each([
    ['the wrong type', output('{"sum":"three"}')],
    ['nothing', undefined],
    ['no JSON', output('{')],
    ['not JSON by its type', { ...output('{"sum":3}'), contentType: 'text/plain' }],
  ])('fails the task: %s', async (_, wrong) => {
    const type = await rig.type({ outputSchema });
    const id = await rig.submit(type);
    const worker = await rig.workerOf(type);
    const lease = leaseOf((await worker.assignments(1))[0]);
    const item = wrong === undefined ? { lease } : { lease, output: wrong };
    worker.send({ case: 'succeeded', value: { items: [item] } });
    await worker.settlements([lease]);
    const { row } = await rig.stored(id);
    expect([row.state, row.error?.code]).toEqual(['FAILED', 'OUTPUT_INVALID']);
  });

  test('fails a task that is reported without a stream, too', async () => {
    const type = await rig.type({ outputSchema });
    const id = await rig.submit(type);
    const { session, assignments } = await rig.workers.leaseTasks({ taskTypes: [type] });
    const lease = leaseOf(assignments[0]);
    const items = [{ lease, output: output('{"sum":"three"}') }];
    await rig.workers.reportTasks({ ...(session && { session }), succeeded: { items } });
    const { row } = await rig.stored(id);
    expect([row.state, row.error?.code]).toEqual(['FAILED', 'OUTPUT_INVALID']);
  });

  test('fails a task whose result is too large', async () => {
    const type = await rig.type();
    const id = await rig.submit(type);
    const worker = await rig.workerOf(type);
    const lease = leaseOf((await worker.assignments(1))[0]);
    const value = { items: [{ lease, output: output('x'.repeat(2 * 1024 * 1024 + 1)) }] };
    worker.send({ case: 'succeeded', value });
    await worker.settlements([lease]);
    const { row } = await rig.stored(id);
    expect([row.state, row.error?.code]).toEqual(['FAILED', 'OUTPUT_INVALID']);
  });
});
