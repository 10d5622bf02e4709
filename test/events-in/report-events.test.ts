import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../services/rig.ts';
import { postBatch, postEvent } from './post-event.ts';

const { leaseTasks, reportTasks, extendLeases } = WorkerService.method;
const { submitTask, getTask, cancelTask } = TaskService.method;

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
  const { applyTaskType } = TaskTypeService.method;
  const retryPolicy = { attemptsMax: 3, initialDelay: { nanos: 1_000_000 }, multiplier: 1 };
  for (const name of ['a.work', 'a.cancel', 'b.work']) {
    await rig.doors.gRPC.call(applyTaskType, { taskType: { name, retryPolicy } }, rig.token('root'));
  }
});
afterAll(() => rig.stop());

interface Attempt {
  readonly id: string;
  readonly session: { readonly sessionId: string; readonly resumeSecret: string };
  readonly lease: { readonly attempt: number; readonly leaseId: string };
}

/** Submits a task and takes it without a stream. */
async function attempt(type = 'a.work'): Promise<Attempt> {
  const { task } = await rig.doors.gRPC.call(submitTask, { type }, rig.token('root'));
  return take(task?.id ?? '', type);
}

async function take(id: string, type = 'a.work'): Promise<Attempt> {
  const wait = { seconds: 5n };
  const { session, assignments } = await rig.doors.gRPC.call(
    leaseTasks,
    { taskTypes: [type], wait },
    rig.token('root'),
  );
  const lease = assignments[0]?.lease;
  if (session === undefined || lease === undefined) throw new Error('there is no task');
  expect(lease.taskId).toBe(id);
  return {
    id,
    session: { sessionId: session.sessionId, resumeSecret: session.resumeSecret },
    lease: { attempt: lease.attempt, leaseId: lease.leaseId },
  };
}

let count = 0;
function report({ id, session, lease }: Attempt, type: string, data: object = {}): Record<string, unknown> {
  count += 1;
  return {
    specversion: '1.0',
    id: `report-${count}`,
    source: '/workers/7',
    type: `dstc.task.${type}`,
    subject: id,
    data: { session, lease, ...data },
  };
}

async function stored(id: string) {
  const [row] = await rig.sql`SELECT state, output, error, progress_percent, attempt FROM task WHERE id = ${id}`;
  return row;
}

const recorded = (state: string) => ({
  status: 200,
  json: {
    event: {
      disposition: 'EVENT_DISPOSITION_REPORTED',
      settlement: { outcome: 'SETTLEMENT_OUTCOME_RECORDED', state: `TASK_STATE_${state}` },
    },
  },
});

describe('a worker reports by events', () => {
  it('that it has started, how far it is, and that it has succeeded', async () => {
    const work = await attempt();
    expect(await postEvent(rig, report(work, 'started'))).toMatchObject(recorded('RUNNING'));
    const progress = { percent: 40, message: 'almost' };
    expect(await postEvent(rig, report(work, 'status.changed', { progress }))).toMatchObject(recorded('RUNNING'));
    const done = report(work, 'finished', { result: 'succeeded', output: { json: { n: 1 } } });
    expect(await postEvent(rig, done)).toMatchObject(recorded('SUCCEEDED'));
    const { task } = await rig.doors.gRPC.call(getTask, { id: work.id }, rig.token('root'));
    expect(task?.progress).toMatchObject(progress);
    expect(JSON.parse(String((await stored(work.id))?.output))).toEqual({ n: 1 });
    // A report whose answer was lost is sent again.
    expect((await postEvent(rig, done)).json.event.settlement.outcome).toBe('SETTLEMENT_OUTCOME_ALREADY_RECORDED');
  });

  it('that it has failed, and why', async () => {
    const work = await attempt();
    const error = { code: 'TIMEOUT', message: 'too slow', kind: 'FAILURE_KIND_PERMANENT' };
    expect(await postEvent(rig, report(work, 'finished', { result: 'failed', error }))).toMatchObject(
      recorded('FAILED'),
    );
    expect((await stored(work.id))?.error).toMatchObject({ code: 'TIMEOUT', message: 'too slow' });
  });

  it('that it gives its task back, which costs no attempt', async () => {
    const work = await attempt();
    const released = report(work, 'finished', { result: 'released', reason: 'night' });
    expect(await postEvent(rig, released)).toMatchObject(recorded('PENDING'));
    const again = await take(work.id);
    await postEvent(rig, report(again, 'finished', { result: 'succeeded' }));
  });

  it('that it has stopped as it was asked to', async () => {
    const work = await attempt('a.cancel');
    const stopped = () => postEvent(rig, report(work, 'finished', { result: 'cancelled' }));
    expect(await stopped()).toMatchObject({ status: 400, reason: 'STATE_CONFLICT' });
    await rig.doors.gRPC.call(cancelTask, { id: work.id }, rig.token('root'));
    expect(await stopped()).toMatchObject(recorded('CANCELLED'));
  });

  it('in a batch, in their order for each task', async () => {
    const all = [await attempt(), await attempt('a.cancel')];
    const events = all.flatMap((work) => [
      report(work, 'started'),
      report(work, 'status.changed', { progress: { percent: 99 } }),
      report(work, 'finished', { result: 'succeeded' }),
      report(work, 'status.changed', { progress: { percent: 100 } }),
    ]);
    const { json } = await postBatch(rig, events);
    const outline = json.results.map(
      ({ event, error }: { event?: { settlement: { state: string } }; error?: { reason: string } }) =>
        event?.settlement.state ?? error?.reason,
    );
    const each = ['TASK_STATE_RUNNING', 'TASK_STATE_RUNNING', 'TASK_STATE_SUCCEEDED', 'ERROR_REASON_LEASE_LOST'];
    expect(outline).toEqual([...each, ...each]);
    for (const { id } of all) expect((await stored(id))?.state).toBe('SUCCEEDED');
  });
});

describe('a report that is stale changes nothing', () => {
  const reports: [string, object][] = [
    ['started', {}],
    ['status.changed', { progress: { percent: 50 } }],
    ['finished', { result: 'succeeded', output: { json: 'stale' } }],
    ['finished', { result: 'failed', error: { code: 'X', message: 'x' } }],
    ['finished', { result: 'released' }],
    ['finished', { result: 'cancelled' }],
  ];

  async function unchanged(current: Attempt, event: Record<string, unknown>, reason: string): Promise<void> {
    const before = await stored(current.id);
    const answer = await postEvent(rig, event);
    expect(answer).toMatchObject({ reason });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(await stored(current.id)).toEqual(before);
  }

  it.each(reports)('of a lease that another has now: %s %j', async (type, data) => {
    const first = await attempt();
    await postEvent(rig, report(first, 'finished', { result: 'failed', error: { code: 'X', message: 'x' } }));
    const second = await take(first.id);
    // Its own report was recorded before, and is not recorded again for others.
    const other = { ...first, lease: { ...first.lease, attempt: 2 } };
    await unchanged(second, report(other, type, data), 'LEASE_LOST');
    await unchanged(second, report({ ...second, session: first.session }, type, data), 'LEASE_LOST');
    const made = { ...second, lease: { ...second.lease, leaseId: '01890a5d-ac96-774b-bcce-b302099a8057' } };
    await unchanged(second, report(made, type, data), 'LEASE_LOST');
    await postEvent(rig, report(second, 'finished', { result: 'succeeded' }));
  });

  it('of a session whose secret is wrong, or that belongs to another principal', async () => {
    const work = await attempt();
    const guessed = { ...work, session: { ...work.session, resumeSecret: 'guessed' } };
    await unchanged(work, report(guessed, 'finished', { result: 'succeeded' }), 'SESSION_NOT_FOUND');
    const before = await stored(work.id);
    const foreign = await postEvent(rig, report(work, 'finished', { result: 'succeeded' }), { who: 'alice' });
    expect(foreign).toMatchObject({ status: 404, reason: 'SESSION_NOT_FOUND' });
    const without = await postEvent(rig, report(work, 'finished', { result: 'succeeded' }), { who: 'planner' });
    expect(without).toMatchObject({ status: 403, reason: 'PERMISSION_MISSING' });
    expect(await stored(work.id)).toEqual(before);
    await postEvent(rig, report(work, 'finished', { result: 'succeeded' }));
  });

  it('of a task that is not there is answered as one that one may not see', async () => {
    const work = await attempt();
    const missing = { ...work, id: '01890a5d-ac96-774b-bcce-b302099a8057' };
    const answer = await postEvent(rig, report(missing, 'finished', { result: 'succeeded' }));
    expect(answer).toMatchObject({ status: 404, reason: 'TASK_NOT_FOUND' });
    await postEvent(rig, report(work, 'finished', { result: 'succeeded' }));
  });
});

describe('a report that is wrong is refused, and the lease lives on', () => {
  let work: Attempt;
  beforeAll(async () => {
    work = await attempt();
  });

  it.each<[string, string, object, string]>([
    ['a field that is not there', 'finished', { result: 'succeeded', outptu: 1 }, 'data'],
    ['no result', 'finished', {}, 'data.result'],
    ['a result that is none', 'finished', { result: 'done' }, 'data.result'],
    ['an error that is not asked for', 'finished', { result: 'succeeded', error: {} }, 'data.error'],
    ['no error', 'finished', { result: 'failed' }, 'data.error'],
    ['an output of a failure', 'finished', { result: 'failed', error: {}, output: { json: 1 } }, 'data.output'],
    ['no progress', 'status.changed', {}, 'data.progress'],
    ['a progress of 101 %', 'status.changed', { progress: { percent: 101 } }, 'data.progress.percent'],
    ['a result before the end', 'started', { result: 'succeeded' }, 'data.result'],
    ['no session', 'started', { session: undefined }, 'data.session'],
    [
      'a session that is no id',
      'started',
      { session: { sessionId: 'x', resumeSecret: 'y' } },
      'data.session.session_id',
    ],
    ['no lease', 'started', { lease: undefined }, 'data.lease'],
    ['a lease that is no id', 'started', { lease: { attempt: 1, leaseId: 'x' } }, 'data.lease.lease_id'],
  ])('with %s', async (_, type, data, field) => {
    expect(await postEvent(rig, report(work, type, data))).toMatchObject({
      status: 400,
      reason: 'FIELD_INVALID',
      fields: [field],
    });
  });

  it.each<[string, object, string]>([
    ['no subject', { subject: undefined }, 'subject'],
    ['a subject that is no task', { subject: 'x' }, 'subject'],
    ['no data', { data: undefined }, 'data'],
    ['data that is no JSON', { data: 'x', datacontenttype: 'text/plain' }, 'data'],
    ['data that is a number', { data: 5 }, 'data'],
  ])('with %s', async (_, changes, field) => {
    expect(await postEvent(rig, { ...report(work, 'started'), ...changes })).toMatchObject({
      status: 400,
      reason: 'FIELD_INVALID',
      fields: [field],
    });
  });

  it('of a type that is none of the three is an event as any other', async () => {
    expect((await postEvent(rig, report(work, 'succeeded.v1'))).json).toMatchObject({
      event: { disposition: 'EVENT_DISPOSITION_IGNORED' },
    });
  });

  it('and is held all the while', async () => {
    const { id, lease, session } = work;
    const held = [{ taskId: id, ...lease }];
    const { reconciled } = await rig.doors.gRPC.call(extendLeases, { session, held }, rig.token('root'));
    expect(reconciled).toHaveLength(1);
    const succeeded = { items: [{ lease: held[0] }] };
    const { settlements } = await rig.doors.gRPC.call(reportTasks, { session, succeeded }, rig.token('root'));
    expect(settlements).toHaveLength(1);
    expect((await stored(id))?.state).toBe('SUCCEEDED');
  });
});
