import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectRefused } from './refused.ts';
import { doorNames, type Rig, startRig } from './rig.ts';

const { applyTaskType, getTaskType, listTaskTypes } = TaskTypeService.method;
const { submitTask } = TaskService.method;

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

describe.each(doorNames)('over %s', (doorName) => {
  const door = () => rig.doors[doorName];
  const name = (rest: string) => `a.${doorName === 'gRPC' ? 'grpc' : 'json'}.${rest}`;
  const apply = async (taskType: object) =>
    (await door().call(applyTaskType, { taskType }, rig.token('root'))).taskType;

  it('fills in every default that the contract names', async () => {
    const applied = await apply({ name: name('defaults') });
    expect(applied).toMatchObject({
      namespace: 'default',
      name: name('defaults'),
      description: '',
      retryPolicy: {
        attemptsMax: 5,
        initialDelay: { seconds: 1n },
        multiplier: 2,
        delayMax: { seconds: 600n },
        nonRetryableCodes: [],
      },
      deadlines: { run: { seconds: 3_600n } },
      priority: 4,
      retention: { seconds: 30n * 86_400n },
    });
    expect(applied?.deadlines?.start ?? applied?.deadlines?.total ?? applied?.inputSchema).toBeUndefined();
    expect(applied?.etag).not.toBe('');
    const got = await door().call(getTaskType, { name: name('defaults') }, rig.token('clerk'));
    expect(got.taskType).toEqual(applied);
  });

  it('keeps everything that is set, and gives it to tasks that set nothing', async () => {
    const taskType = {
      name: name('full'),
      description: 'Sends „mail“.',
      inputSchema: { type: 'object', description: 'a \u0000 and ä', properties: { __proto__: { type: 'string' } } },
      outputSchema: { type: ['number', 'null'], maximum: 1e300 },
      retryPolicy: {
        attemptsMax: 7,
        initialDelay: { nanos: 250_000_000 },
        multiplier: 1.5,
        delayMax: { seconds: 9n },
        nonRetryableCodes: ['A.B:c-d_1'],
      },
      deadlines: { start: { seconds: 60n }, run: { nanos: 1_500_000 }, total: { seconds: 31_536_000n } },
      priority: 0,
      retention: { seconds: 60n },
    };
    const applied = await apply(taskType);
    // Times are kept in milliseconds.
    const deadlines = { ...taskType.deadlines, run: { nanos: 2_000_000 } };
    expect(applied).toMatchObject({ ...taskType, deadlines });
    const { task } = await door().call(
      submitTask,
      { type: name('full'), input: { value: { case: 'data', value: Buffer.from('{}') } } },
      rig.token('root'),
    );
    expect(task).toMatchObject({ priority: 0, attemptsMax: 7 });
  });

  it('keeps limits, with their defaults filled in, and tells how the queue stands', async () => {
    const limits = {
      key: { source: { case: 'label', value: 'tenant' } },
      concurrencyMax: 7,
      concurrencyPerKeyMax: 2,
      rate: { tasks: 5 },
      ratePerKey: { tasks: 1, interval: { seconds: 60n }, burst: 3 },
      queueMax: 100,
    };
    const applied = await apply({ name: name('limited'), limits });
    expect(applied?.limits).toMatchObject({ ...limits, rate: { tasks: 5, interval: { seconds: 1n }, burst: 5 } });
    const labels = { tenant: 'acme' };
    const { task } = await door().call(submitTask, { type: name('limited'), labels }, rig.token('root'));
    expect(task?.limitKey).toBe('acme');
    const { taskType } = await door().call(getTaskType, { name: name('limited') }, rig.token('root'));
    expect(taskType?.limits).toEqual(applied?.limits);
    expect(taskType?.status).toMatchObject({ waiting: 1, waitingIsMore: false, running: 0, tokens: 5 });
    expect((await apply({ name: name('limited') }))?.limits).toBeUndefined();
  });

  it('replaces the whole type, with a new etag and the first create_time', async () => {
    const first = await apply({ name: name('replaced'), description: 'first', priority: 9 });
    const second = await apply({ name: name('replaced') });
    expect(second).toMatchObject({ description: '', priority: 4, createTime: first?.createTime });
    expect(second?.etag).not.toBe(first?.etag);
    const [before, after] = [first, second].map((type) => type?.updateTime);
    expect(Number(after?.seconds) * 1e9 + Number(after?.nanos)).toBeGreaterThan(
      Number(before?.seconds) * 1e9 + Number(before?.nanos),
    );
  });

  it('changes just what was read, by its etag', async () => {
    const read = await apply({ name: name('etag') });
    const changed = await apply({ ...read, description: 'changed' });
    expect(changed?.description).toBe('changed');
    await expectRefused(rig, doorName, () => apply({ ...read, description: 'again' }), {
      code: 'Aborted',
      reason: 'ETAG_MISMATCH',
      metadata: { task_type: name('etag') },
    });
    const { taskType } = await door().call(getTaskType, { name: name('etag') }, rig.token('root'));
    expect(taskType).toEqual(changed);
  });

  it('lets one of many that change the same etag win', async () => {
    const read = await apply({ name: name('race') });
    const changes = Array.from({ length: 20 }, (_, at) => apply({ ...read, description: `change ${at}` }));
    const ended = await Promise.allSettled(changes);
    expect(ended.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('checks inputs by a changed schema at once on this node', async () => {
    const submitted = () => door().call(submitTask, { type: name('changing') }, rig.token('root'));
    await apply({ name: name('changing') });
    await submitted();
    await apply({ name: name('changing'), inputSchema: { type: 'object' } });
    await expectRefused(rig, doorName, submitted, {
      code: 'InvalidArgument',
      reason: 'INPUT_INVALID',
      metadata: { task_type: name('changing') },
      fields: ['input/'],
    });
  });

  it('lists types by name in pages, each once', async () => {
    const names = Array.from({ length: 25 }, (_, at) => name(`page.${String(at).padStart(2, '0')}`));
    for (const each of names.toReversed()) await apply({ name: each });
    await apply({ name: `b.${name('page')}` });
    const found: string[] = [];
    let pageToken = '';
    do {
      const page = await door().call(listTaskTypes, { pageSize: 10, pageToken }, rig.token('alice'));
      expect(page.taskTypes.length).toBeLessThanOrEqual(10);
      found.push(...page.taskTypes.map((type) => type.name));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(found.filter((each) => each.startsWith(name('page.')))).toEqual(names);
    expect(new Set(found).size).toBe(found.length);
    expect(found.filter((each) => !each.startsWith('a.'))).toEqual([]);
  });
});
