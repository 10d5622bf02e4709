import { randomUUID } from 'node:crypto';
import type { LeaseRef } from '@dstc/contract/dstc/v1/worker_pb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { leaseOf, outcomeOf } from '../setup/raw-worker.ts';
import { type HandName, hands, type Report } from './hands.ts';
import { acceptance, clientsOf, type EngineRig, failure, release, startEngineRig, success } from './rig.ts';

let rig: EngineRig;
beforeAll(async () => {
  rig = await startEngineRig();
});
afterAll(() => rig.stop());

const reports: Readonly<Record<Report['case'], (...leases: LeaseRef[]) => Report>> = {
  accepted: (...leases) => ({ case: 'accepted', value: { leases } }),
  progress: (...leases) => ({
    case: 'progress',
    value: {
      items: leases.map((lease) => ({
        lease,
        progress: { percent: 66, message: 'forged', checkpoint: Buffer.from('forged') },
      })),
    },
  }),
  succeeded: (...leases) => ({
    case: 'succeeded',
    value: {
      items: leases.map((lease) => ({ lease, output: { value: { case: 'data', value: Buffer.from('"forged"') } } })),
    },
  }),
  failed: (...leases) => ({
    case: 'failed',
    value: { items: leases.map((lease) => ({ lease, error: { code: 'FORGED', message: 'forged' } })) },
  }),
  released: (...leases) => ({ case: 'released', value: { leases } }),
  cancelAcknowledged: (...leases) => ({ case: 'cancelAcknowledged', value: { leases } }),
};
const settles = (kind: Report['case']) => kind !== 'accepted' && kind !== 'progress';

/** The rows that a worker speaks of, to be compared before and after. */
function rowsOf(...leases: LeaseRef[]) {
  return Promise.all(leases.map(({ taskId }) => rig.stored(taskId)));
}

/** A lease in good hands. */
async function heldLease(type: string): Promise<LeaseRef> {
  const id = await rig.submit(type);
  const holder = await rig.workerOf(type, 1);
  const lease = leaseOf((await holder.assignments(1))[0]);
  holder.send(acceptance(lease));
  await expect.poll(() => rig.kinds(id)).toContain('STARTED');
  return lease;
}

/** Makes sure that whatever the node still had to write is written: progress waits a second, accepts a moment. */
async function written(): Promise<void> {
  const type = await rig.type();
  const id = await rig.submit(type);
  const worker = await rig.workerOf(type, 1);
  const lease = leaseOf((await worker.assignments(1))[0]);
  worker.send(acceptance(lease));
  for (const percent of [1, 2]) {
    worker.send({ case: 'progress', value: { items: [{ lease, progress: { percent } }] } });
    await expect.poll(async () => (await rig.stored(id)).row.progressPercent, { timeout: 10_000 }).toBe(percent);
  }
  worker.send(success(lease));
  await worker.settlements([lease]);
  worker.cut();
}

describe.each(Object.keys(hands) as HandName[])('a worker %s that speaks for leases of others', (name) => {
  test('changes nothing, whatever it says and however close it comes', async () => {
    const type = await rig.type();
    const lease = await heldLease(type);
    const other = await heldLease(type);
    const own = await rig.type();
    await rig.submit(own);
    const hand = await hands[name](rig, own, 1);
    const mine = leaseOf((await hand.take(1))[0]);
    await expect.poll(() => rig.kinds(mine.taskId)).toContain('STARTED');
    const forged: LeaseRef[] = [
      lease,
      { ...lease, attempt: 2 },
      { ...lease, leaseId: other.leaseId },
      { ...lease, leaseId: mine.leaseId },
      { ...lease, taskId: mine.taskId },
      { ...mine, attempt: 2 },
      { ...mine, leaseId: lease.leaseId },
      { ...mine, taskId: lease.taskId },
      { ...mine, attempt: 2_147_483_647 },
    ];
    const before = await rowsOf(lease, other, mine);
    for (const kind of Object.keys(reports) as Report['case'][]) {
      const wanted = settles(kind) ? forged : [];
      const settlements = await hand.report(reports[kind](...forged), wanted);
      expect(settlements.map(outcomeOf), kind).toEqual(wanted.map(() => 'LEASE_LOST'));
    }
    await written();
    expect(await rowsOf(lease, other, mine)).toEqual(before);
    expect((await hand.report(success(mine) as Report, [mine])).map(outcomeOf)).toEqual(['RECORDED']);
  });

  test('of tasks that do not exist, or are another tenant’s, is told the same of both', async () => {
    const operator = clientsOf(rig.coordinator.grpcAddress, await rig.coordinator.token('operator'));
    const type = await rig.type();
    await operator.types.applyTaskType({ taskType: { name: type, namespace: 'elsewhere' } });
    const { task } = await operator.tasks.submitTask({ type, namespace: 'elsewhere' });
    const foreign = await operator.workers.leaseTasks({ namespace: 'elsewhere', taskTypes: [type] });
    const theirs = leaseOf(foreign.assignments[0]);
    expect(theirs.taskId).toBe(task?.id);
    const own = await rig.type();
    await rig.submit(own);
    const hand = await hands[name](rig, own, 1);
    const mine = leaseOf((await hand.take(1))[0]);
    const unknown = { ...mine, taskId: randomUUID() };
    await expect.poll(() => rig.kinds(mine.taskId)).toContain('STARTED');
    const before = await rowsOf(mine);
    for (const kind of (Object.keys(reports) as Report['case'][]).filter(settles)) {
      const settlements = await hand.report(reports[kind](theirs, unknown), [theirs, unknown]);
      expect(settlements.map(outcomeOf), kind).toEqual(['REFUSED TASK_NOT_FOUND', 'REFUSED TASK_NOT_FOUND']);
      const [one, another] = settlements.map(({ message, lease: of }) => message.replaceAll(of?.taskId ?? '', 'ID'));
      expect(one).toBe(another);
    }
    expect(await rowsOf(mine)).toEqual(before);
  });

  test('10,000 times changes nothing, is told so each time, and holds nobody up for long', async () => {
    const type = await rig.type();
    const lease = await heldLease(type);
    const own = await rig.type();
    await rig.submit(own);
    const hand = await hands[name](rig, own, 1);
    const mine = leaseOf((await hand.take(1))[0]);
    await expect.poll(() => rig.kinds(mine.taskId)).toContain('STARTED');
    const before = await rowsOf(lease, mine);
    const kinds = Object.keys(reports) as Report['case'][];
    const startMs = performance.now();
    for (let round = 0; round < 10; round += 1) {
      for (const kind of kinds) {
        const stale = Array.from({ length: 167 }, (_, n) => ({ ...lease, attempt: 2 + round * 167 + n }));
        const settlements = await hand.report(reports[kind](...stale), settles(kind) ? stale : []);
        expect(settlements).toHaveLength(settles(kind) ? stale.length : 0);
        expect(settlements.every((settlement) => outcomeOf(settlement) === 'LEASE_LOST')).toBe(true);
      }
    }
    expect(performance.now() - startMs).toBeLessThan(60_000);
    await written();
    expect(await rowsOf(lease, mine)).toEqual(before);
  }, 120_000);
});

describe('a worker on a stream', () => {
  test('that says the same thing a thousand times in one message is settled a thousand times, and counted once', async () => {
    const type = await rig.type();
    const id = await rig.submit(type);
    const worker = await rig.workerOf(type, 1);
    const lease = leaseOf((await worker.assignments(1))[0]);
    const same = Array.from({ length: 1_000 }, () => lease);
    worker.send(acceptance(...same));
    worker.send(success(...same));
    const settled = (await worker.settlements(same)).map(outcomeOf);
    expect(settled.filter((outcome) => outcome === 'RECORDED')).toHaveLength(1);
    expect(settled.filter((outcome) => outcome === 'ALREADY_RECORDED')).toHaveLength(999);
    // Whichever statement comes first writes the end; the accept may have been on its way with another one.
    const kinds = (await rig.kinds(id)).filter((kind) => kind !== 'STARTED');
    expect(kinds).toEqual(['SUBMITTED', 'LEASED', 'SUCCEEDED']);
  });

  test('that floods with words is answered, and its neighbours do not notice', async () => {
    const type = await rig.type();
    await rig.submit(type);
    const flooder = await rig.workerOf(type, 1);
    const lease = leaseOf((await flooder.assignments(1))[0]);
    for (let n = 0; n < 5_000; n += 1) {
      flooder.send({ case: 'demand', value: { credits: n % 2, taskTypes: [{ taskType: type, slots: n % 3 }] } });
      flooder.send({ case: 'pong', value: { nonce: BigInt(n) } });
      flooder.send(acceptance(lease));
      flooder.send({ case: 'progress', value: { items: [{ lease, progress: { percent: n % 100 } }] } });
    }
    const calm = await rig.type();
    const neighbour = await rig.workerOf(calm, 1);
    for (let n = 0; n < 10; n += 1) {
      await rig.submit(calm);
      const given = leaseOf((await neighbour.assignments(1))[0]);
      neighbour.send(success(given));
      await neighbour.settlements([given]);
    }
    flooder.send(success(lease));
    expect((await flooder.settlements([lease], 60_000)).map(outcomeOf)).toEqual(['RECORDED']);
    expect(await rig.kinds(lease.taskId)).toEqual(['SUBMITTED', 'LEASED', 'STARTED', 'SUCCEEDED']);
  }, 120_000);

  test.each([
    ['more than its slots', { credits: 10_000 }, 2],
    ['more of a type that it never named', { credits: 2, taskTypes: [{ taskType: 'unnamed', slots: 10_000 }] }, 2],
    ['the same type twice', { credits: 2 }, 2],
  ])('that wants %s gets no more than it may have', async (_, demand, most) => {
    const type = await rig.type();
    const worker = await rig.workerOf(type, most);
    worker.send({ case: 'demand', value: demand });
    for (let n = 0; n < 5; n += 1) await rig.submit(type);
    const rest = await rig.workerOf(type, 5);
    await Promise.all([worker.assignments(most), rest.assignments(5 - most)]);
    expect(worker.assigned).toHaveLength(most);
  });

  test.each([
    ['less than nothing', { credits: -1 }],
    ['endlessly much', { credits: 2_147_483_647 }],
    ['less than nothing of a type', { credits: 1, taskTypes: [{ taskType: 'a', slots: -1 }] }],
  ])('that wants %s is cut off, and its session can be resumed', async (_, demand) => {
    const type = await rig.type();
    const worker = await rig.workerOf(type, 1);
    worker.send({ case: 'demand', value: demand });
    expect(await worker.ended).toEqual({ code: 'INVALID_ARGUMENT', reason: 'FIELD_INVALID' });
    const hello = { taskTypes: [{ taskType: type, slots: 1 }], slots: 1 };
    await rig.worker({ ...hello, resume: { ...worker.session, held: [] } });
  });

  test('that reports against the contract has that report refused alone', async () => {
    const type = await rig.type();
    const ids = await Promise.all([rig.submit(type), rig.submit(type), rig.submit(type), rig.submit(type)]);
    const worker = await rig.workerOf(type, ids.length);
    const leases = (await worker.assignments(ids.length)).map(leaseOf);
    const [wrong, right, broken, last] = leases;
    const output = { value: { case: 'data', value: Buffer.from('1') }, contentType: 'text' } as const;
    worker.send({ case: 'succeeded', value: { items: [{ lease: wrong, output }, { lease: right }] } });
    worker.send({ case: 'failed', value: { items: [{ lease: broken, error: { code: 'x y', message: 'it broke' } }] } });
    worker.send({ case: 'succeeded', value: { items: [{ lease: last }] } });
    expect((await worker.settlements(leases)).map(outcomeOf)).toEqual([
      'REFUSED FIELD_INVALID',
      'RECORDED',
      'REFUSED FIELD_INVALID',
      'RECORDED',
    ]);
  });

  test('resumed twice at once is served on one of the two, and keeps its lease', async () => {
    const type = await rig.type();
    const node = await rig.coordinator.startNode();
    for (const addresses of [
      [rig.coordinator.grpcAddress, rig.coordinator.grpcAddress],
      [rig.coordinator.grpcAddress, node.grpcAddress],
    ]) {
      const id = await rig.submit(type);
      const first = await rig.workerOf(type, 1);
      const lease = leaseOf((await first.assignments(1))[0]);
      first.send(acceptance(lease));
      await expect.poll(() => rig.kinds(id)).toContain('STARTED');
      first.cut();
      const hello = { taskTypes: [{ taskType: type, slots: 1 }], slots: 1 };
      const resumed = await Promise.allSettled(
        addresses.map((address) => rig.worker({ ...hello, resume: { ...first.session, held: [lease] } }, { address })),
      );
      const both = resumed.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
      expect(both.length, JSON.stringify(resumed)).toBeGreaterThan(0);
      const winner = both.length === 1 ? both[0] : await lastOf(both);
      winner?.send(success(lease));
      expect((await winner?.settlements([lease]))?.map(outcomeOf)).toEqual(['RECORDED']);
      expect((await rig.stored(id)).row.attempt).toBe(1);
      winner?.send({ case: 'draining', value: {} });
      await winner?.goodbye();
    }
    await node.stop();
  });

  test('gets nothing from a session that has ended', async () => {
    const type = await rig.type();
    const worker = await rig.workerOf(type, 1);
    worker.send({ case: 'draining', value: {} });
    await worker.goodbye();
    await expect
      .poll(() => rig.sql`SELECT 1 FROM worker_session WHERE id = ${worker.session.sessionId}`, { timeout: 5_000 })
      .toHaveLength(0);
    const hello = { taskTypes: [{ taskType: type, slots: 1 }], slots: 1 };
    await expect(rig.worker({ ...hello, resume: { ...worker.session, held: [] } })).rejects.toThrow(
      'SESSION_NOT_FOUND',
    );
    const session = worker.session;
    await expect(rig.workers.leaseTasks({ session, taskTypes: [type] })).rejects.toThrow(/has ended/);
  });

  test('that gives back and fails at once what it holds, in any order, ends the attempt once', async () => {
    const type = await rig.type();
    const worker = await rig.workerOf(type, 100);
    const ids = await Promise.all(Array.from({ length: 50 }, () => rig.submit(type)));
    const leases = (await worker.assignments(50)).map(leaseOf);
    worker.send({ case: 'draining', value: {} });
    leases.forEach((lease, index) => {
      const kinds = [success, failure, release];
      for (let turn = 0; turn < 3; turn += 1) worker.send((kinds[(index + turn) % 3] ?? success)(lease));
    });
    const settled = await worker.settlements(leases.flatMap((lease) => [lease, lease, lease]));
    for (let at = 0; at < settled.length; at += 3) {
      const three = settled
        .slice(at, at + 3)
        .map(outcomeOf)
        .sort();
      expect(three).toEqual(['ALREADY_RECORDED', 'ALREADY_RECORDED', 'RECORDED']);
    }
    for (const id of ids) {
      const kinds = (await rig.kinds(id)).filter((kind) => kind !== 'STARTED');
      expect(kinds).toEqual(['SUBMITTED', 'LEASED', expect.stringMatching(/^(SUCCEEDED|RETRY_SCHEDULED|RELEASED)$/)]);
    }
  });
});

/** Of two streams of one session, the one that stays. */
async function lastOf<Stream extends { readonly ended: Promise<unknown> }>(both: readonly Stream[]) {
  const gone = await Promise.race(both.map((stream) => stream.ended.then(() => stream)));
  return both.find((stream) => stream !== gone);
}
