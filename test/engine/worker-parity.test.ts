import { durationFromMs, durationMs } from '@bufbuild/protobuf/wkt';
import { FailureKind } from '@dstc/contract/dstc/v1/task_pb';
import type { LeaseRef } from '@dstc/contract/dstc/v1/worker_pb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestNode } from '../setup/coordinator.ts';
import { leaseOf, outcomeOf } from '../setup/raw-worker.ts';
import { type HandName, hands, type Report } from './hands.ts';
import { type EngineRig, quickRetry, startEngineRig } from './rig.ts';

const leaseMs = 2_000;
let rig: EngineRig;
let otherNode: TestNode;
beforeAll(async () => {
  rig = await startEngineRig({ DSTC_LEASE_MS: String(leaseMs) });
  otherNode = await rig.coordinator.startNode();
});
afterAll(() => rig.stop());

const data = (text: string) => ({ value: { case: 'data' as const, value: Buffer.from(text) } });

function succeeded(lease: LeaseRef, text = '1'): Report {
  return { case: 'succeeded', value: { items: [{ lease, output: data(text) }] } };
}

function failed(lease: LeaseRef, kind = FailureKind.TRANSIENT, retryAfterMs?: number): Report {
  const error = { code: 'BROKEN', message: 'it broke', kind };
  const wait = retryAfterMs === undefined ? {} : { retryAfter: durationFromMs(retryAfterMs) };
  return { case: 'failed', value: { items: [{ lease, error, ...wait }] } };
}

function released(lease: LeaseRef): Report {
  return { case: 'released', value: { leases: [lease], reason: 'later' } };
}

function acknowledged(lease: LeaseRef): Report {
  return { case: 'cancelAcknowledged', value: { leases: [lease] } };
}

function progress(lease: LeaseRef, percent: number, checkpoint: string): Report {
  const item = { lease, progress: { percent, message: 'on it', checkpoint: Buffer.from(checkpoint) } };
  return { case: 'progress', value: { items: [item] } };
}

describe.each(Object.keys(hands) as HandName[])('a worker %s', (name) => {
  const open = (type: string, slots = 5) => hands[name](rig, type, slots);

  /** A worker with tasks in its hands. */
  async function working(count = 1, settings: Parameters<EngineRig['type']>[0] = {}) {
    const type = await rig.type(settings);
    const hand = await open(type);
    const ids: string[] = [];
    for (let n = 0; n < count; n += 1) ids.push(await rig.submit(type));
    const assignments = await hand.take(count);
    const leases = assignments.map(leaseOf);
    const [lease] = leases;
    const [id] = ids;
    if (lease === undefined || id === undefined) throw new Error('no lease');
    for (const each of ids) await expect.poll(() => rig.kinds(each)).toContain('STARTED');
    return { type, hand, ids, id, leases, lease, assignments };
  }
  const outcomes = (settlements: Parameters<typeof outcomeOf>[0][]) => settlements.map(outcomeOf);

  test('is given everything that it needs to know, in the one order of dispatch', async () => {
    const type = await rig.type({ deadlines: { run: durationFromMs(9_000), heartbeat: durationFromMs(8_000) } });
    const low = await rig.submit(type, { priority: 1 });
    const high = await rig.submit(type, { priority: 8, labels: { team: 'a' }, input: data('{"n":1}') });
    const hand = await open(type, 1);
    const [first] = await hand.take(1);
    expect(first?.lease).toMatchObject({ taskId: high, attempt: 1 });
    expect(first).toMatchObject({ taskType: type, labels: { team: 'a' }, attemptsMax: 5, priority: 8 });
    expect(first?.runTimeout && durationMs(first.runTimeout)).toBe(9_000);
    expect(first?.heartbeatTimeout && durationMs(first.heartbeatTimeout)).toBe(8_000);
    await hand.report(succeeded(leaseOf(first)), [leaseOf(first)]);
    expect((await hand.take(1))[0]?.lease?.taskId).toBe(low);
  });

  test('ends an attempt well, once: what it says later, also otherwise, changes nothing', async () => {
    const { hand, id, lease } = await working();
    expect(outcomes(await hand.report(succeeded(lease, '"first"'), [lease]))).toEqual(['RECORDED']);
    const before = await rig.stored(id);
    expect(before.row.state).toBe('SUCCEEDED');
    for (const again of [succeeded(lease, '"second"'), failed(lease), released(lease), acknowledged(lease)]) {
      expect(outcomes(await hand.report(again, [lease]))).toEqual(['ALREADY_RECORDED']);
    }
    await hand.report(progress(lease, 99, 'late'));
    expect(await hand.report(succeeded(lease), [lease])).toHaveLength(1);
    expect(await rig.stored(id)).toEqual(before);
  });

  test('has an attempt tried again after the time it asks for, with the checkpoint that it left', async () => {
    const { hand, id, lease } = await working();
    await hand.report(progress(lease, 40, 'page 4'));
    expect(outcomes(await hand.report(failed(lease, FailureKind.TRANSIENT, 300), [lease]))).toEqual(['RECORDED']);
    const { row, events } = await rig.stored(id);
    expect(events.at(-1)).toMatchObject({ kind: 'retry_scheduled', retryDelayMs: '300' });
    expect(Number(row.availableTime) - Number(events.at(-1)?.time)).toBeGreaterThanOrEqual(299);
    const [again] = await hand.take(1);
    expect(again?.lease).toMatchObject({ taskId: id, attempt: 2 });
    expect(Buffer.from(again?.checkpoint ?? []).toString()).toBe('page 4');
  });

  test('fails a task for good', async () => {
    const { hand, id, lease } = await working();
    expect(outcomes(await hand.report(failed(lease, FailureKind.PERMANENT), [lease]))).toEqual(['RECORDED']);
    expect((await rig.stored(id)).row).toMatchObject({ state: 'FAILED', error: { code: 'BROKEN' }, attempt: 1 });
  });

  test('gives a task back without spending an attempt', async () => {
    const { hand, id, lease } = await working();
    expect(outcomes(await hand.report(released(lease), [lease]))).toEqual(['RECORDED']);
    expect((await hand.take(1))[0]?.lease).toMatchObject({ taskId: id, attempt: 1 });
    expect((await rig.stored(id)).row.crashes).toBe(0);
  });

  test('is told of a cancel and acknowledges it', async () => {
    const { hand, id, lease } = await working();
    await rig.tasks.cancelTask({ id, reason: 'no need', grace: durationFromMs(60_000) });
    const cancel = await hand.cancelled([lease]);
    expect(cancel).toMatchObject({ lease: { leaseId: lease.leaseId }, reason: 'no need' });
    expect(cancel.grace && durationMs(cancel.grace)).toBeGreaterThan(50_000);
    expect(outcomes(await hand.report(acknowledged(lease), [lease]))).toEqual(['RECORDED']);
    expect(await rig.state(id)).toBe('CANCELLED');
  });

  test('is refused the acknowledgement of a cancel that nobody asked for, and keeps the lease', async () => {
    const { hand, id, lease } = await working();
    const before = await rig.stored(id);
    expect(outcomes(await hand.report(acknowledged(lease), [lease]))).toEqual(['REFUSED STATE_CONFLICT']);
    expect(await rig.stored(id)).toEqual(before);
    expect(outcomes(await hand.report(succeeded(lease), [lease]))).toEqual(['RECORDED']);
  });

  test('may finish what it was told to stop', async () => {
    const { hand, id, lease } = await working();
    await rig.tasks.cancelTask({ id, grace: durationFromMs(60_000) });
    await hand.cancelled([lease]);
    expect(outcomes(await hand.report(succeeded(lease), [lease]))).toEqual(['RECORDED']);
    expect(await rig.state(id)).toBe('SUCCEEDED');
  });

  test('has lost an attempt whose time is over', async () => {
    const { hand, id, lease } = await working(1, {
      deadlines: { run: durationFromMs(3_600_000) },
      retryPolicy: { ...quickRetry, attemptsMax: 1 },
    });
    await rig.sql`UPDATE task SET run_deadline = now() WHERE id = ${id}`;
    expect(await rig.end(id)).toBe('FAILED');
    const before = await rig.stored(id);
    for (const late of [succeeded(lease), failed(lease), released(lease), acknowledged(lease)]) {
      expect(outcomes(await hand.report(late, [lease]))).toEqual(['LEASE_LOST']);
    }
    expect(await rig.stored(id)).toEqual(before);
  });

  test('is told, on any node, which of its leases it keeps, and goes on there', async () => {
    const { hand, leases, ids } = await working(3);
    const [kept, finished, cancelled] = leases;
    if (kept === undefined || finished === undefined || cancelled === undefined) throw new Error('three leases came');
    await hand.report(succeeded(finished), [finished]);
    await rig.tasks.cancelTask({ id: cancelled.taskId, grace: {} });
    await rig.end(cancelled.taskId);
    const verdicts = await hand.reconcile(leases, otherNode.grpcAddress);
    expect(verdicts).toEqual(['KEEP', 'ALREADY_FINISHED', 'DROP']);
    expect(outcomes(await hand.report(succeeded(kept), [kept]))).toEqual(['RECORDED']);
    expect((await rig.stored(ids[0] ?? '')).row.attempt).toBe(1);
  });

  test('that falls silent loses its session, and the attempt with it', async () => {
    const { hand, id, type } = await working();
    hand.vanish();
    const other = await rig.workerOf(type);
    expect((await other.assignments(1, leaseMs + 4_000))[0]?.lease).toMatchObject({ taskId: id, attempt: 2 });
    expect((await rig.stored(id)).row.crashes).toBe(1);
    expect(await hand.comeBack()).toMatch(/SESSION_NOT_FOUND|the worker session has ended/);
  });
});
