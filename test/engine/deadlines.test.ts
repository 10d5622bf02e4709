import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dropOldEventPartitions, ensureEventPartitions } from '../../server/store/event-partitions.ts';
import { leaseOf, outcomeOf } from '../setup/raw-worker.ts';
import { acceptance, type EngineRig, quickRetry, startEngineRig, success } from './rig.ts';

let rig: EngineRig;
beforeAll(async () => {
  rig = await startEngineRig();
});
afterAll(() => rig.stop());

describe('the start deadline', () => {
  test('fails a task that no worker has taken', async () => {
    const id = await rig.submit(await rig.type(), { deadlines: { start: durationFromMs(50) } });
    expect(await rig.end(id)).toBe('FAILED');
    expect((await rig.stored(id)).row.error?.code).toBe('START_DEADLINE_EXCEEDED');
  });

  test('is counted from when the task is due', async () => {
    const id = await rig.submit(await rig.type(), {
      delay: durationFromMs(60_000),
      deadlines: { start: durationFromMs(50) },
    });
    const other = await rig.submit(await rig.type(), { deadlines: { start: durationFromMs(50) } });
    await rig.end(other);
    expect(await rig.state(id)).toBe('PENDING');
  });

  test('is over with the first lease', async () => {
    const type = await rig.type();
    const worker = await rig.workerOf(type);
    const id = await rig.submit(type, { deadlines: { start: durationFromMs(900) } });
    worker.send(acceptance(leaseOf((await worker.assignments(1))[0])));
    const other = await rig.submit(await rig.type(), { deadlines: { start: durationFromMs(1_000) } });
    await rig.end(other);
    expect(await rig.state(id)).toBe('RUNNING');
  });
});

test('the run deadline loses the attempt, and the next one gets the whole time', async () => {
  const type = await rig.type({ retryPolicy: { ...quickRetry, attemptsMax: 2 } });
  const id = await rig.submit(type, { deadlines: { run: durationFromMs(200) } });
  const worker = await rig.workerOf(type);
  const [first] = await worker.assignments(1);
  worker.send(acceptance(leaseOf(first)));
  expect(Number(first?.runTimeout?.nanos)).toBe(200_000_000);
  const [second] = await worker.assignments(1);
  expect(second?.lease?.attempt).toBe(2);
  worker.send(success(leaseOf(first)));
  expect((await worker.settlements([leaseOf(first)])).map(outcomeOf)).toEqual(['LEASE_LOST']);
  expect(await rig.end(id)).toBe('FAILED');
  const { events, row } = await rig.stored(id);
  expect(row.error?.code).toBe('RUN_DEADLINE_EXCEEDED');
  expect(events.map((event) => event.kind).filter((kind) => kind !== 'started')).toEqual([
    ...['submitted', 'leased', 'lease_lost', 'leased', 'failed'],
  ]);
});

test('a worker whose attempt ran out of time is told to stop', async () => {
  const type = await rig.type();
  await rig.submit(type, { deadlines: { total: durationFromMs(300) } });
  const worker = await rig.workerOf(type);
  const lease = leaseOf((await worker.assignments(1))[0]);
  worker.send(acceptance(lease));
  const { items } = await worker.next('cancels');
  expect(items[0]?.lease?.leaseId).toBe(lease.leaseId);
});

describe('the total deadline', () => {
  test('fails a waiting task', async () => {
    const id = await rig.submit(await rig.type(), {
      delay: durationFromMs(60_000),
      deadlines: { total: durationFromMs(50) },
    });
    expect(await rig.end(id)).toBe('FAILED');
    expect((await rig.stored(id)).row.error?.code).toBe('TOTAL_DEADLINE_EXCEEDED');
  });

  test('fails a running task whatever attempts are left, and its worker’s report changes nothing', async () => {
    const type = await rig.type();
    const id = await rig.submit(type, { deadlines: { total: durationFromMs(200) } });
    const worker = await rig.workerOf(type);
    const lease = leaseOf((await worker.assignments(1))[0]);
    worker.send(acceptance(lease));
    expect(await rig.end(id)).toBe('FAILED');
    const before = await rig.stored(id);
    worker.send(success(lease));
    expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['LEASE_LOST']);
    expect(await rig.stored(id)).toEqual(before);
  });
});

test('a delayed task is given out when it is due, and not before', async () => {
  const type = await rig.type();
  const worker = await rig.workerOf(type);
  const id = await rig.submit(type, { delay: durationFromMs(600) });
  const [assignment] = await worker.assignments(1);
  expect(assignment?.lease?.taskId).toBe(id);
  const { events } = await rig.stored(id);
  const waited = Number(events[1]?.time) - Number(events[0]?.time);
  expect(waited).toBeGreaterThanOrEqual(599);
  expect(waited).toBeLessThan(1_600);
});

describe('retention', () => {
  test('deletes what its type keeps no longer, with its idempotency key', async () => {
    const type = await rig.type({ retention: { seconds: 60n } });
    const key = { idempotencyKey: 'retained' };
    const [old, young, running] = [
      await rig.submit(type, key),
      await rig.submit(type, { idempotencyKey: 'young' }),
      await rig.submit(type),
    ];
    for (const id of [old, young]) await rig.tasks.cancelTask({ id });
    await rig.sql`UPDATE task SET finished_time = now() - interval '61 seconds' WHERE id = ${old}`;
    await rig.sql`UPDATE task SET create_time = now() - interval '1 year' WHERE id = ${running}`;
    // Another node looks after it within a second of its start.
    const node = await rig.coordinator.startNode();
    await expect.poll(() => rig.sql`SELECT 1 FROM task WHERE id = ${old}`, { timeout: 4_000 }).toHaveLength(0);
    await node.stop();
    expect(await rig.sql`SELECT key FROM idempotency_key WHERE key IN ('retained', 'young')`).toEqual([
      { key: 'young' },
    ]);
    expect([await rig.state(young), await rig.state(running)]).toEqual(['CANCELLED', 'PENDING']);
    expect(await rig.submit(type, key)).not.toBe(old);
  });
});

describe('history', () => {
  const partitions = async () => {
    const rows = await rig.sql<{ name: string }[]>`
      SELECT relid::text AS name FROM pg_partition_tree('task_event') WHERE isleaf ORDER BY 1`;
    return rows.map((row) => row.name);
  };

  test('has a partition for each of the days to come, and none is made twice', async () => {
    const before = await partitions();
    expect(before.filter((name) => /^task_event_\d{8}$/.test(name)).length).toBeGreaterThanOrEqual(8);
    await Promise.all([ensureEventPartitions(rig.sql), ensureEventPartitions(rig.sql)]);
    expect(await partitions()).toEqual(before);
  });

  test('is dropped by the day once it is older than it is kept', async () => {
    await rig.sql.unsafe(`
      CREATE TABLE task_event_20200101 (LIKE task_event INCLUDING DEFAULTS);
      ALTER TABLE task_event ATTACH PARTITION task_event_20200101
        FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2020-01-02 00:00:00+00')`);
    const before = await partitions();
    expect(await dropOldEventPartitions(rig.sql, 90)).toEqual({ done: ['task_event_20200101'], left: [] });
    expect(await partitions()).toEqual(before.filter((name) => name !== 'task_event_20200101'));
  });

  test('has nothing in the partition for what no day covers', async () => {
    await rig.submit(await rig.type());
    expect(await rig.sql`SELECT 1 FROM task_event_default`).toHaveLength(0);
  });
});
