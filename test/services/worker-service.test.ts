import { create } from '@bufbuild/protobuf';
import { ErrorReason } from '@dstc/contract/dstc/v1/error_pb';
import { FailureKind, TaskState } from '@dstc/contract/dstc/v1/task_pb';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import {
  type Assignment,
  type LeaseRef,
  LeaseRefSchema,
  ReconciliationVerdict,
  SettlementOutcome,
} from '@dstc/contract/dstc/v1/worker_pb';
import { WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noTask } from './bad-input/bad-call.ts';
import { doorNames, type Rig, startRig } from './rig.ts';

const { submitTasks, getTask, cancelTask } = TaskService.method;
const { leaseTasks, reportTasks, extendLeases, listWorkers, drainWorker } = WorkerService.method;

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
  const types = [
    { name: 'a.plain' },
    { name: 'a.quick' },
    { name: 'a.quick-too' },
    { name: 'a.contradicted' },
    { name: 'a.number', outputSchema: { type: 'number' } },
    { name: 'a.nested', outputSchema: { type: 'array', items: { $ref: '#' } } },
    { name: 'b.plain' },
  ];
  for (const taskType of types) {
    await rig.doors.gRPC.call(TaskTypeService.method.applyTaskType, { taskType }, rig.token('root'));
  }
});
afterAll(() => rig.stop());

describe.each(doorNames)('a worker without a stream, over %s', (doorName) => {
  const door = () => rig.doors[doorName];

  /** Leases as many tasks as it submits. */
  async function leased(count: number, type = 'a.plain') {
    const requests = Array.from({ length: count }, () => ({ type }));
    await door().call(submitTasks, { requests }, rig.token('root'));
    const request = { taskTypes: [type], tasksMax: count, wait: { seconds: 5n } };
    const { session, assignments } = await door().call(leaseTasks, request, rig.token('root'));
    if (session === undefined || assignments.length !== count) throw new Error(`${assignments.length} tasks came`);
    return { session, leases: assignments.map(leaseOf) };
  }
  const leaseOf = ({ lease }: Assignment): LeaseRef => lease ?? create(LeaseRefSchema);
  const stateOf = async ({ taskId: id }: LeaseRef) =>
    (await door().call(getTask, { id }, rig.token('root'))).task?.state;
  const data = (text: string) => ({ value: { case: 'data', value: Buffer.from(text) } }) as const;

  it('has the start of an attempt in the history, also when reports of it contradict each other', async () => {
    for (let turn = 0; turn < 5; turn += 1) {
      const { session, leases } = await leased(20, 'a.contradicted');
      const error = { code: 'X', message: 'x', kind: FailureKind.PERMANENT };
      const reports = [
        { succeeded: { items: leases.map((lease) => ({ lease })) } },
        { failed: { items: leases.map((lease) => ({ lease, error })) } },
      ];
      const call = (report: object) => door().call(reportTasks, { session, ...report }, rig.token('root'));
      await Promise.all((turn % 2 === 0 ? reports : reports.toReversed()).map(call));
    }
    const histories = await rig.sql`
      SELECT string_agg(kind::text, ' ' ORDER BY sequence) AS kinds FROM task_event
      WHERE type = 'a.contradicted' GROUP BY task_id`;
    for (const { kinds } of histories) expect(kinds).toMatch(/^submitted leased started (succeeded|failed)$/);
  });

  it('waits for tasks no longer than its token lives', async () => {
    const exp = Math.floor(Date.now() / 1_000) + 2;
    const token = await rig.coordinator.identity.forge({ sub: 'root', client_id: 'root', exp });
    const request = { taskTypes: ['a.none'], wait: { seconds: 20n } };
    expect(await door().call(leaseTasks, request, token)).toMatchObject({ assignments: [] });
    expect(Date.now() - exp * 1_000).toBeLessThan(2_000);
  });

  it('has the start of every attempt in the history, however soon the report comes', async () => {
    const type = doorName === 'gRPC' ? 'a.quick' : 'a.quick-too';
    // Accepts are gathered for a moment and then written, which a report may overtake.
    const requests = Array.from({ length: 150 }, () => ({ type }));
    await door().call(submitTasks, { requests }, rig.token('root'));
    for (let done = 0; done < requests.length; done += 3) {
      const lease = { taskTypes: [type], tasksMax: 3 };
      const { session, assignments } = await door().call(leaseTasks, lease, rig.token('root'));
      if (session === undefined) throw new Error('no session');
      const report = (assignment: Assignment) => {
        const succeeded = { items: [{ lease: leaseOf(assignment) }] };
        return door().call(reportTasks, { session, succeeded }, rig.token('root'));
      };
      await Promise.all(assignments.map(report));
    }
    const kinds = await rig.sql`
      SELECT kind, count(*)::int FROM task_event WHERE type = ${type} GROUP BY kind HAVING count(*) <> 150`;
    expect(kinds).toEqual([]);
  });

  it('has one wrong report refused and the others recorded', async () => {
    const { session, leases } = await leased(3);
    const [first, second, third] = leases;
    const error = { code: 'BROKEN', message: 'it broke' };
    const { settlements } = await door().call(
      reportTasks,
      {
        session,
        succeeded: {
          items: [
            { lease: first, output: data('"fine"') },
            { lease: second, output: { ...data('x'), contentType: 'text/plain' } },
          ],
        },
        failed: {
          items: [{ lease: third, error, ...(doorName === 'gRPC' && { retryAfter: { nanos: 2_000_000_000 } }) }],
        },
      },
      rig.token('root'),
    );
    const outcomes = settlements.map(({ outcome, error }) => [SettlementOutcome[outcome], ErrorReason[error]]);
    expect(outcomes).toEqual([
      ['RECORDED', 'UNSPECIFIED'],
      ['RECORDED', 'UNSPECIFIED'],
      // JSON has no duration that is wrong in this way.
      doorName === 'gRPC' ? ['REFUSED', 'FIELD_INVALID'] : ['RECORDED', 'UNSPECIFIED'],
    ]);
  });

  it('has an output that breaks the schema fail the task', async () => {
    const { session, leases } = await leased(2, 'a.number');
    const items = leases.map((lease, at) => ({ lease, output: data(at === 0 ? '7' : '"seven"') }));
    await door().call(reportTasks, { session, succeeded: { items } }, rig.token('root'));
    const tasks = await Promise.all(leases.map(({ taskId: id }) => door().call(getTask, { id }, rig.token('root'))));
    expect(tasks.map(({ task }) => [task?.state, task?.error?.code ?? ''])).toEqual([
      [TaskState.SUCCEEDED, ''],
      [TaskState.FAILED, 'OUTPUT_INVALID'],
    ]);
  });

  it('has an output that is nested too deeply to be checked fail its task, and no other', async () => {
    const { session, leases } = await leased(2, 'a.nested');
    const deep = '['.repeat(20_000) + ']'.repeat(20_000);
    const items = leases.map((lease, at) => ({ lease, output: data(at === 0 ? deep : '[]') }));
    await door().call(reportTasks, { session, succeeded: { items } }, rig.token('root'));
    const tasks = await Promise.all(leases.map(({ taskId: id }) => door().call(getTask, { id }, rig.token('root'))));
    expect(tasks.map(({ task }) => [task?.state, task?.error?.code ?? ''])).toEqual([
      [TaskState.FAILED, 'OUTPUT_INVALID'],
      [TaskState.SUCCEEDED, ''],
    ]);
  });

  it('is told what became of stale, foreign, repeated and unknown reports, which change nothing', async () => {
    const { session, leases } = await leased(2);
    const [lease, other] = leases;
    if (lease === undefined || other === undefined) throw new Error('two leases came');
    const stranger = await leased(1);
    const report = async (reported: LeaseRef) => {
      const succeeded = { items: [{ lease: reported, output: data('1') }] };
      const { settlements } = await door().call(reportTasks, { session, succeeded }, rig.token('root'));
      return settlements.map(({ outcome, error }) => `${SettlementOutcome[outcome]} ${ErrorReason[error]}`).join();
    };
    const of = (change: Partial<LeaseRef>) => create(LeaseRefSchema, { ...lease, ...change });
    expect(await report(of({ attempt: 2 }))).toBe('LEASE_LOST LEASE_LOST');
    expect(await report(of({ leaseId: noTask }))).toBe('LEASE_LOST LEASE_LOST');
    expect(await report(of({ leaseId: other.leaseId }))).toBe('LEASE_LOST LEASE_LOST');
    expect(await report(stranger.leases[0] ?? lease)).toBe('LEASE_LOST LEASE_LOST');
    expect(await report(of({ taskId: noTask }))).toBe('REFUSED TASK_NOT_FOUND');
    expect(await Promise.all([lease, other].map(stateOf))).toEqual([TaskState.RUNNING, TaskState.RUNNING]);
    expect(await report(lease)).toBe('RECORDED UNSPECIFIED');
    expect(await report(lease)).toBe('ALREADY_RECORDED UNSPECIFIED');
    expect(await stateOf(lease)).toBe(TaskState.SUCCEEDED);
  });

  it('hears from ExtendLeases what to stop and what is lost', async () => {
    const { session, leases } = await leased(3);
    const [kept, cancelled, done] = leases;
    if (kept === undefined || cancelled === undefined || done === undefined) throw new Error('three leases came');
    await door().call(
      cancelTask,
      { id: cancelled.taskId, reason: 'no need', grace: { seconds: 60n } },
      rig.token('root'),
    );
    await door().call(reportTasks, { session, released: { leases: [done], reason: 'later' } }, rig.token('root'));
    const held = [kept, cancelled, done, create(LeaseRefSchema, { ...kept, attempt: 9 })];
    const { reconciled, cancels } = await door().call(extendLeases, { session, held }, rig.token('root'));
    expect(reconciled.map(({ verdict }) => ReconciliationVerdict[verdict])).toEqual([
      'KEEP',
      'KEEP',
      'ALREADY_FINISHED',
      'DROP',
    ]);
    expect(cancels).toMatchObject([{ lease: cancelled, reason: 'no need' }]);
    const acknowledged = { leases: [kept, cancelled] };
    const { settlements } = await door().call(
      reportTasks,
      { session, cancelAcknowledged: acknowledged },
      rig.token('root'),
    );
    expect(settlements.map(({ outcome, state }) => [SettlementOutcome[outcome], TaskState[state]])).toEqual([
      ['REFUSED', 'UNSPECIFIED'],
      ['RECORDED', 'CANCELLED'],
    ]);
  });

  it('gets nothing at once when there is nothing and it does not wait', async () => {
    const { session, assignments } = await door().call(leaseTasks, { taskTypes: ['b.plain'] }, rig.token('root'));
    expect(assignments).toEqual([]);
    expect(session?.sessionId).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('is drained by those who operate all of its types, and shown so', async () => {
    const { session, leases } = await leased(1);
    const request = { sessionId: session.sessionId, reason: 'a new version', within: { seconds: 60n } };
    const { worker } = await door().call(drainWorker, request, rig.token('alice'));
    expect(worker).toMatchObject({ id: session.sessionId, draining: true, drainReason: 'a new version', leases: 1 });
    const left = Number(worker?.drainDeadline?.seconds) - Date.now() / 1_000;
    expect(left).toBeGreaterThan(50);
    expect(left).toBeLessThan(61);
    const { workers } = await door().call(listWorkers, { pageSize: 1_000 }, rig.token('alice'));
    expect(workers.filter(({ draining }) => draining).map(({ id }) => id)).toContain(session.sessionId);
    const { stop } = await door().call(extendLeases, { session, held: leases }, rig.token('root'));
    expect(stop?.reason).toBe('a new version');
  });

  it('is listed with its leases, oldest first, to those who operate its types', async () => {
    const { session } = await leased(2);
    const pages: string[] = [];
    let pageToken = '';
    do {
      const page = await door().call(listWorkers, { pageSize: 2, pageToken }, rig.token('alice'));
      for (const { id, leases, principal, expireTime } of page.workers) {
        pages.push(id);
        if (id !== session.sessionId) continue;
        expect({ leases, principal }).toEqual({ leases: 2, principal: expect.stringMatching(/^root@/) });
        expect(Number(expireTime?.seconds)).toBeGreaterThan(Date.now() / 1_000);
      }
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(pages).toContain(session.sessionId);
    expect(pages).toEqual([...new Set(pages)].toSorted());
    const all = await door().call(listWorkers, { pageSize: 1_000 }, rig.token('root'));
    const ofB = all.workers.filter(({ taskTypes }) => taskTypes.every(({ taskType }) => taskType === 'b.plain'));
    expect(ofB.length).toBeGreaterThan(0);
    expect(pages).not.toContain(ofB[0]?.id);
  });
});
