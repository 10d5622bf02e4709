import type { MessageInitShape } from '@bufbuild/protobuf';
import { LabelOperator, type TaskFilterSchema } from '@dstc/contract/dstc/v1/task_filter_pb';
import { TaskState } from '@dstc/contract/dstc/v1/task_pb';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectRefused } from './refused.ts';
import { doorNames, type Rig, startRig } from './rig.ts';

const { submitTasks, getTask, listTasks, listTaskEvents } = TaskService.method;
const { cancelTasks, pauseTasks, resumeTasks, skipTasks, redriveTasks, discardTasks, summarizeDeadLetters } =
  TaskService.method;

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
  const types = [{ name: 'a.one' }, { name: 'a.two' }, { name: 'b.one' }, { name: 'a.one', namespace: 'elsewhere' }];
  const { applyTaskType } = TaskTypeService.method;
  for (const taskType of types) await rig.doors.gRPC.call(applyTaskType, { taskType }, rig.token('root'));
});
afterAll(() => rig.stop());

let batches = 0;
/** A label that tells the tasks of one test from all others. */
const newBatch = () => {
  batches += 1;
  return { batch: `b${batches}` };
};

describe.each(doorNames)('over %s', (doorName) => {
  const door = () => rig.doors[doorName];

  async function submitted(
    count: number,
    {
      labels = {},
      type = 'a.one',
      namespace = '',
    }: { labels?: Record<string, string>; type?: string; namespace?: string },
  ): Promise<string[]> {
    const requests = Array.from({ length: count }, (_, at) => ({ type, labels: { ...labels, at: String(at) } }));
    const { results } = await door().call(submitTasks, { namespace, requests }, rig.token('root'));
    return results.flatMap(({ result }) => (result.case === 'task' ? [result.value.id] : []));
  }

  /** Dead letters as a worker would have left them. */
  async function failed(count: number, labels: Record<string, string>, code = 'BROKEN', type = 'a.one') {
    const ids = await submitted(count, { labels, type });
    const error = { code, message: 'it broke', kind: 'PERMANENT' };
    await rig.sql`
      UPDATE task SET state = 'FAILED', finished_time = now(), error = ${rig.sql.json(error)},
        error_fingerprint = ${code === 'BROKEN' ? 'b'.repeat(16) : 'c'.repeat(16)} WHERE id IN ${rig.sql(ids)}`;
    return ids;
  }

  async function found(filter: MessageInitShape<typeof TaskFilterSchema>): Promise<string[]> {
    const { tasks } = await door().call(listTasks, { filter, pageSize: 1_000 }, rig.token('root'));
    return tasks.map(({ id }) => id).reverse();
  }

  it('counts in a dry run what it would cancel, and changes nothing', async () => {
    const labels = newBatch();
    const ids = await submitted(12, { labels });
    const before = await rig.rowCounts();
    const answer = await door().call(cancelTasks, { filter: { labels }, dryRun: true }, rig.token('alice'));
    expect(answer).toMatchObject({ matched: 12, changed: 12, sampleIds: ids.slice(0, 10), nextPageToken: '' });
    expect(await rig.rowCounts()).toEqual(before);
    expect(await found({ labels, states: [TaskState.PENDING] })).toEqual(ids);
  });

  it('goes from page to page, oldest first, and leaves alone what came after the first one', async () => {
    const labels = newBatch();
    const ids = await submitted(7, { labels });
    const request = { filter: { labels }, reason: 'a mistake', tasksMax: 3 };
    const first = await door().call(cancelTasks, request, rig.token('alice'));
    expect(first).toMatchObject({ matched: 3, changed: 3, sampleIds: ids.slice(0, 3) });
    const later = await submitted(2, { labels });
    const { nextPageToken: pageToken } = first;
    const second = await door().call(cancelTasks, { ...request, pageToken }, rig.token('alice'));
    expect(second).toMatchObject({ matched: 3, changed: 3, sampleIds: ids.slice(3, 6) });
    // A page that is repeated finds nothing to do.
    const again = await door().call(cancelTasks, { ...request, pageToken }, rig.token('alice'));
    expect(again).toMatchObject({ matched: 1, changed: 1, sampleIds: ids.slice(6), nextPageToken: '' });
    const { nextPageToken } = second;
    const last = await door().call(cancelTasks, { ...request, pageToken: nextPageToken }, rig.token('alice'));
    expect(last).toMatchObject({ matched: 0, changed: 0, nextPageToken: '' });
    expect(await found({ labels, states: [TaskState.CANCELLED] })).toEqual(ids);
    expect(await found({ labels, states: [TaskState.PENDING] })).toEqual(later);
    const { events } = await door().call(listTaskEvents, { taskId: ids[0] ?? '' }, rig.token('root'));
    expect(events.at(-1)).toMatchObject({ reason: 'a mistake', actor: expect.stringContaining('alice') });
  });

  it('touches only types that the caller may steer, in one namespace', async () => {
    const labels = newBatch();
    const own = [...(await submitted(2, { labels })), ...(await submitted(2, { labels, type: 'a.two' }))];
    const foreign = await submitted(2, { labels, type: 'b.one' });
    const elsewhere = await submitted(2, { labels, namespace: 'elsewhere' });
    const answer = await door().call(cancelTasks, { filter: { labels } }, rig.token('alice'));
    expect(answer).toMatchObject({ matched: 4, changed: 4, sampleIds: own });
    for (const [ids, namespace] of [
      [foreign, ''],
      [elsewhere, 'elsewhere'],
    ] as const) {
      const { task } = await door().call(getTask, { id: ids[0] ?? '', namespace }, rig.token('root'));
      expect(task?.state).toBe(TaskState.PENDING);
    }
    const asked = { filter: { labels, types: ['b.one'] } };
    expect(await door().call(cancelTasks, asked, rig.token('alice'))).toMatchObject({ matched: 0, changed: 0 });
  });

  it('picks by labels only with read on a type as well', async () => {
    const labels = newBatch();
    await submitted(1, { labels });
    const request = { filter: { labels, types: ['a.one'] }, dryRun: true };
    expect(await door().call(cancelTasks, request, rig.token('stopper'))).toMatchObject({ matched: 0, sampleIds: [] });
    await expectRefused(rig, doorName, () => door().call(cancelTasks, request, rig.token('blind')), {
      ...{ code: 'PermissionDenied', reason: 'PERMISSION_MISSING' },
      metadata: { permission: 'read', namespace: 'default' },
    });
  });

  it('pauses, resumes and skips what waits', async () => {
    const labels = newBatch();
    const ids = await submitted(3, { labels });
    const request = { filter: { labels } };
    expect(await door().call(pauseTasks, request, rig.token('alice'))).toMatchObject({ matched: 3, changed: 3 });
    expect(await door().call(pauseTasks, request, rig.token('alice'))).toMatchObject({ changed: 0 });
    expect(await found({ labels, paused: true })).toEqual(ids);
    expect(await door().call(resumeTasks, request, rig.token('alice'))).toMatchObject({ changed: 3 });
    expect(await found({ labels, paused: false })).toEqual(ids);
    expect(await door().call(skipTasks, request, rig.token('alice'))).toMatchObject({ changed: 3 });
    expect(await found({ labels, states: [TaskState.SKIPPED] })).toEqual(ids);
  });

  it('redrives and discards dead letters by what they failed with', async () => {
    const labels = newBatch();
    const [broken, refused] = [await failed(3, labels), await failed(2, labels, 'REFUSED')];
    const waiting = await submitted(1, { labels });
    expect(await found({ labels, deadLettersOnly: true })).toEqual([...broken, ...refused]);
    expect(await found({ labels, errorCodes: ['REFUSED', 'OTHER'] })).toEqual(refused);
    const byFingerprint = { labels, errorFingerprints: ['b'.repeat(16)] };
    expect(await found(byFingerprint)).toEqual(broken);
    const redriven = await door().call(redriveTasks, { filter: byFingerprint }, rig.token('alice'));
    expect(redriven).toMatchObject({ matched: 3, changed: 3, sampleIds: broken });
    const discarded = await door().call(discardTasks, { filter: { labels } }, rig.token('alice'));
    expect(discarded).toMatchObject({ matched: 2, changed: 2, sampleIds: refused });
    expect(await found({ labels, deadLettersOnly: true })).toEqual([]);
    expect(await found({ labels, states: [TaskState.PENDING] })).toEqual([...broken, ...waiting]);
  });

  it('groups dead letters by what they failed with, as far as the caller may see them', async () => {
    const labels = newBatch();
    const [broken, refused] = [await failed(3, labels), await failed(2, labels, 'REFUSED')];
    const foreign = await failed(4, labels, 'BROKEN', 'b.one');
    const groupsFor = async (who: 'clerk' | 'root', filter: MessageInitShape<typeof TaskFilterSchema>) => {
      const { groups, complete } = await door().call(summarizeDeadLetters, { filter }, rig.token(who));
      expect(complete).toBe(true);
      return groups.map(({ type, errorCode, count, newestId, message, lastFailedTime }) => {
        expect([message, lastFailedTime === undefined]).toEqual(['it broke', false]);
        return [type, errorCode, count, newestId];
      });
    };
    const own = [
      ['a.one', 'BROKEN', 3, broken[2]],
      ['a.one', 'REFUSED', 2, refused[1]],
    ];
    expect(await groupsFor('clerk', { labels })).toEqual(own);
    expect(await groupsFor('root', { labels })).toEqual([['b.one', 'BROKEN', 4, foreign[3]], ...own]);
    expect(await groupsFor('clerk', { labels, errorFingerprints: ['c'.repeat(16)] })).toEqual(own.slice(1));
    await door().call(discardTasks, { filter: { labels } }, rig.token('root'));
    expect(await groupsFor('root', { labels })).toEqual([]);
  });

  it('spreads a redrive over time, across pages', async () => {
    const labels = newBatch();
    const ids = await failed(10, labels);
    const request = { filter: { labels }, tasksPerSecond: 0.5, tasksMax: 4 };
    let pageToken = '';
    do {
      const answer = await door().call(redriveTasks, { ...request, pageToken }, rig.token('alice'));
      pageToken = answer.nextPageToken;
    } while (pageToken !== '');
    const rows = await rig.sql<{ due: Date }[]>`
      SELECT available_time AS due FROM task WHERE id IN ${rig.sql(ids)} ORDER BY id`;
    const begin = Number(rows[0]?.due);
    // Two seconds apart, however long the pages take.
    const aside = rows.map(({ due }, at) => Number(due) - begin - at * 2_000);
    expect(Math.max(...aside.map(Math.abs))).toBeLessThan(1_500);
  });

  it('filters by the labels that tasks have and lack', async () => {
    const labels = newBatch();
    const [red, blue, none] = [
      await submitted(1, { labels: { ...labels, colour: 'red' } }),
      await submitted(1, { labels: { ...labels, colour: 'blue' } }),
      await submitted(1, { labels }),
    ];
    const where = (operator: LabelOperator, values: string[] = []) =>
      found({ labels, labelSelectors: [{ key: 'colour', operator, values }] });
    expect(await where(LabelOperator.IN, ['red', 'green'])).toEqual(red);
    expect(await where(LabelOperator.UNSPECIFIED, ['red', 'blue'])).toEqual([...red, ...blue]);
    expect(await where(LabelOperator.NOT_IN, ['red', 'green'])).toEqual([...blue, ...none]);
    expect(await where(LabelOperator.EXISTS)).toEqual([...red, ...blue]);
    expect(await where(LabelOperator.NOT_EXISTS)).toEqual(none);
    const without = { labelSelectors: [{ key: 'batch', operator: LabelOperator.NOT_EXISTS }] };
    expect((await found(without)).filter((id) => none.includes(id))).toEqual([]);
  });

  it('filters by the time of the end, together with pages', async () => {
    const labels = newBatch();
    const ids = await failed(4, labels);
    // Not so long ago that they would be deleted meanwhile.
    const begin = Math.floor(Date.now() / 1_000) - 3_600;
    for (const [at, id] of ids.entries()) {
      await rig.sql`UPDATE task SET finished_time = to_timestamp(${begin + at}) WHERE id = ${id}`;
    }
    const at = (seconds: number) => ({ seconds: BigInt(begin + seconds) });
    const filter = { labels, finishedAfter: at(1), finishedBefore: at(3) };
    const first = await door().call(listTasks, { filter, pageSize: 1 }, rig.token('alice'));
    expect(first.tasks.map(({ id }) => id)).toEqual([ids[2]]);
    const { nextPageToken: pageToken } = first;
    const second = await door().call(listTasks, { filter, pageSize: 1, pageToken }, rig.token('alice'));
    expect([second.tasks.map(({ id }) => id), second.nextPageToken]).toEqual([[ids[1]], '']);
  });

  it.each([
    ['no condition at all', {}, 'filter'],
    ['a filter without a condition', { filter: { types: [] } }, 'filter'],
    ['a condition and all', { filter: { types: ['a.one'] }, all: true }, 'all'],
    ['10,001 tasks', { all: true, tasksMax: 10_001 }, 'tasks_max'],
    ['-1 tasks', { all: true, tasksMax: -1 }, 'tasks_max'],
    ['NUL in its reason', { all: true, reason: 'a\u0000' }, 'reason'],
    ['a selector without values', { filter: { labelSelectors: [{ key: 'a' }] } }, 'filter.label_selectors[0]'],
    [
      'a selector with values too many',
      { filter: { labelSelectors: [{ key: 'a', operator: LabelOperator.EXISTS, values: ['b'] }] } },
      'filter.label_selectors[0]',
    ],
    [
      'a selector of a label with NUL',
      { filter: { labelSelectors: [{ key: 'a\u0000', values: ['b'] }] } },
      'filter.label_selectors[0].key',
    ],
    ['a fingerprint that is none', { filter: { errorFingerprints: ["' OR 1"] } }, 'filter.error_fingerprints[0]'],
    ['an error code with a space', { filter: { errorCodes: ['a b'] } }, 'filter.error_codes[0]'],
    ['a type with a wildcard', { filter: { types: ['a.*'] } }, 'filter.types[0]'],
  ])('refuses %s', async (_, request, field) => {
    const expected = { code: 'InvalidArgument', reason: 'FIELD_INVALID', fields: [field] };
    for (const method of [cancelTasks, redriveTasks] as (typeof cancelTasks)[]) {
      await expectRefused(rig, doorName, () => door().call(method, request, rig.token('root')), expected);
    }
  });

  it('refuses a rate below zero, and a grace over an hour', async () => {
    const refused = (call: () => Promise<unknown>, field: string) =>
      expectRefused(rig, doorName, call, { code: 'InvalidArgument', reason: 'FIELD_INVALID', fields: [field] });
    const rate = { all: true, tasksPerSecond: -1 };
    await refused(() => door().call(redriveTasks, rate, rig.token('root')), 'tasks_per_second');
    const grace = { all: true, grace: { seconds: 3_601n } };
    await refused(() => door().call(cancelTasks, grace, rig.token('root')), 'grace');
  });

  it('refuses a page token of another command, filter or kind of run', async () => {
    const labels = newBatch();
    await submitted(3, { labels });
    const request = { filter: { labels }, tasksMax: 1, dryRun: true };
    const { nextPageToken: pageToken } = await door().call(cancelTasks, request, rig.token('root'));
    expect(pageToken).not.toBe('');
    const expected = { code: 'InvalidArgument', reason: 'PAGE_TOKEN_INVALID', fields: ['page_token'] };
    for (const call of [
      () => door().call(pauseTasks, { ...request, pageToken }, rig.token('root')),
      () => door().call(cancelTasks, { ...request, dryRun: false, pageToken }, rig.token('root')),
      () =>
        door().call(cancelTasks, { ...request, filter: { labels, types: ['a.one'] }, pageToken }, rig.token('root')),
      () => door().call(listTasks, { filter: { labels }, pageToken }, rig.token('root')),
    ]) {
      await expectRefused(rig, doorName, call, expected);
    }
  });

  it('refuses who holds the permission on nothing', async () => {
    for (const [method, permission] of [
      [cancelTasks, 'cancel'],
      [pauseTasks, 'pause'],
      [redriveTasks, 'redrive'],
    ] as [typeof cancelTasks, string][]) {
      await expectRefused(rig, doorName, () => door().call(method, { all: true }, rig.token('clerk')), {
        ...{ code: 'PermissionDenied', reason: 'PERMISSION_MISSING' },
        metadata: { permission, namespace: 'default' },
      });
    }
  });

  it('takes all of a namespace when that is what is said', async () => {
    const ids = await submitted(3, { namespace: 'elsewhere' });
    const request = { namespace: 'elsewhere', all: true };
    await door().call(cancelTasks, request, rig.token('stranger'));
    for (const id of ids) {
      const { task } = await door().call(getTask, { namespace: 'elsewhere', id }, rig.token('root'));
      expect(task?.state).toBe(TaskState.CANCELLED);
    }
  });
});
