import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import type { TaskFilterSchema } from '@dstc/contract/dstc/v1/task_filter_pb';
import { TaskEventKind, TaskState } from '@dstc/contract/dstc/v1/task_pb';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { doorNames, type Rig, startRig } from './rig.ts';
import { take } from './unary-worker.ts';

const { submitTask, submitTasks, listTasks, cancelTask, listTaskEvents } = TaskService.method;
const { applyTaskType } = TaskTypeService.method;

const count = 3_000;
/** Every task of the list, oldest first: a third is `a.many`, every tenth is labelled, every hundredth is cancelled. */
const ids: string[] = [];
let between: Date;
let rig: Rig;

beforeAll(async () => {
  rig = await startRig();
  const door = rig.doors.gRPC;
  for (const name of ['a.few', 'a.many', 'b.few', 'c.worked']) {
    await door.call(applyTaskType, { taskType: { name } }, rig.token('root'));
  }
  for (let from = 0; from < count; from += 500) {
    const requests = Array.from({ length: 500 }, (_, at) => ({
      type: (from + at) % 3 === 0 ? 'a.many' : 'a.few',
      ...((from + at) % 10 === 0 && { labels: { tenth: 'yes', 'app.example/at': String(from + at) } }),
    }));
    const { results } = await door.call(submitTasks, { requests }, rig.token('root'));
    ids.push(...results.flatMap(({ result }) => (result.case === 'task' ? [result.value.id] : [])));
    if (from === 1_000) {
      // The next millisecond, as finer times get lost on the way.
      const [row] = await rig.sql<{ next: Date }[]>`
        SELECT date_trunc('milliseconds', max(create_time)) + interval '1 millisecond' AS next FROM task`;
      between = row?.next ?? new Date();
      await rig.sql`SELECT pg_sleep_until(${between})`;
    }
  }
  for (let at = 0; at < count; at += 100) await door.call(cancelTask, { id: ids[at] ?? '' }, rig.token('root'));
  // What nobody may find below.
  await door.call(submitTask, { type: 'b.few', labels: { tenth: 'yes' } }, rig.token('root'));
});
afterAll(() => rig.stop());

describe.each(doorNames)('over %s', (doorName) => {
  type Filter = MessageInitShape<typeof TaskFilterSchema>;
  async function listed(filter: Filter, pageSize = 0, meanwhile?: () => Promise<unknown>): Promise<string[][]> {
    const pages: string[][] = [];
    let pageToken = '';
    do {
      const page = await rig.doors[doorName].call(listTasks, { filter, pageSize, pageToken }, rig.token('alice'));
      pages.push(page.tasks.map(({ id }) => id));
      pageToken = page.nextPageToken;
      await meanwhile?.();
    } while (pageToken !== '');
    return pages;
  }
  const indexes = (pages: readonly string[][]) => pages.flat().map((id) => ids.indexOf(id));
  const those = (wanted: (at: number) => boolean) =>
    Array.from({ length: count }, (_, at) => at)
      .filter(wanted)
      .reverse();

  it('lists thousands of tasks in pages, newest first, each once', async () => {
    const pages = await listed({}, 700);
    expect(pages.map((page) => page.length)).toEqual([700, 700, 700, 700, 200]);
    expect(pages.flat()).toEqual(pages.flat().toSorted().toReversed());
    expect(new Set(pages.flat())).toEqual(new Set(ids));
  });

  it('is not confused by tasks that come between two pages', async () => {
    const later = () =>
      rig.doors.gRPC.call(submitTask, { type: 'a.many', labels: { late: doorName } }, rig.token('root'));
    const pages = await listed(
      { types: ['a.many'], labels: {}, createdBefore: timestampFromDate(new Date(Date.now() + 60_000)) },
      400,
      later,
    );
    const found = indexes(pages).filter((at) => at !== -1);
    expect(new Set(found)).toEqual(new Set(those((at) => at % 3 === 0)));
    expect(found).toHaveLength(count / 3);
    const late = await listed({ labels: { late: doorName } });
    for (const id of late.flat()) await rig.sql`DELETE FROM task WHERE id = ${id}`;
    expect(late.flat().length).toBeGreaterThan(1);
  });

  it.each<[string, () => Filter, (at: number) => boolean]>([
    ['a type', () => ({ types: ['a.many'] }), (at) => at % 3 === 0],
    ['two types', () => ({ types: ['a.many', 'a.few'] }), () => true],
    ['a state', () => ({ states: [TaskState.CANCELLED] }), (at) => at % 100 === 0],
    ['two states', () => ({ states: [TaskState.CANCELLED, TaskState.RUNNING] }), (at) => at % 100 === 0],
    ['a label', () => ({ labels: { tenth: 'yes' } }), (at) => at % 10 === 0],
    ['two labels', () => ({ labels: { tenth: 'yes', 'app.example/at': '50' } }), (at) => at === 50],
    ['a label that nobody has', () => ({ labels: { tenth: 'no' } }), () => false],
    ['a beginning', () => ({ createdAfter: timestampFromDate(between) }), (at) => at >= 1_500],
    ['an end', () => ({ createdBefore: timestampFromDate(between) }), (at) => at < 1_500],
    [
      'no time at all',
      () => ({ createdAfter: timestampFromDate(between), createdBefore: timestampFromDate(between) }),
      () => false,
    ],
    [
      'all of this',
      () => ({
        types: ['a.few'],
        states: [TaskState.PENDING],
        labels: { tenth: 'yes' },
        createdBefore: timestampFromDate(between),
      }),
      (at) => at % 3 !== 0 && at % 100 !== 0 && at % 10 === 0 && at < 1_500,
    ],
  ])('filters by %s', async (_, filter, wanted) => {
    const found = indexes(await listed(filter(), 1_000));
    expect(new Set(found)).toEqual(new Set(those(wanted)));
    expect(found).toHaveLength(those(wanted).length);
  });

  it('shows 50 tasks without payloads unless it is asked for more', async () => {
    const { tasks, nextPageToken } = await rig.doors[doorName].call(listTasks, {}, rig.token('alice'));
    expect(tasks).toHaveLength(50);
    expect(nextPageToken).not.toBe('');
    expect(tasks.filter(({ input, output }) => input !== undefined || output !== undefined)).toEqual([]);
  });

  it('lists the history of a task in pages and in order', async () => {
    const door = rig.doors[doorName];
    const retryPolicy = { initialDelay: { nanos: 1_000_000 }, delayMax: { nanos: 1_000_000 } };
    const { task } = await door.call(submitTask, { type: 'c.worked', retryPolicy }, rig.token('root'));
    await (await take(door, rig.token('root'), 'c.worked')).fail('FLAKY');
    await (await take(door, rig.token('root'), 'c.worked')).succeed('done');
    const taskId = task?.id ?? '';
    const kinds: string[] = [];
    let pageToken = '';
    do {
      const request = { taskId, pageSize: 3, pageToken };
      const { events, nextPageToken } = await door.call(listTaskEvents, request, rig.token('root'));
      kinds.push(...events.map(({ sequence, kind, attempt }) => `${sequence} ${TaskEventKind[kind]} ${attempt}`));
      pageToken = nextPageToken;
    } while (pageToken !== '');
    expect(kinds).toEqual([
      '1 SUBMITTED 0',
      '2 LEASED 1',
      '3 STARTED 1',
      '4 RETRY_SCHEDULED 1',
      '5 LEASED 2',
      '6 STARTED 2',
      '7 SUCCEEDED 2',
    ]);
  });
});
