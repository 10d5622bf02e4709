import type { MessageInitShape } from '@bufbuild/protobuf';
import type { EventFilterSchema } from '@dstc/contract/dstc/v1/event_service_pb';
import { LabelOperator } from '@dstc/contract/dstc/v1/task_filter_pb';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { insertSystemEvents } from '../../server/store/insert-system-events.ts';
import { type Caller, grpcCaller } from '../services/caller.ts';
import { type EventRig, startEventRig } from './rig.ts';

type Filter = MessageInitShape<typeof EventFilterSchema>;

let rig: EventRig;
let caller: Caller;
/** Before everything that the tests look at. */
let start: string;
let tasks: Readonly<Record<'plain' | 'other' | 'teamX' | 'teamY', string>>;
beforeAll(async () => {
  rig = await startEventRig();
  caller = grpcCaller(rig.coordinator.grpcAddress);
  start = (await rig.subscribe()).cursor();
  const submit = async (type: string, labels: Record<string, string> = {}) => {
    const { task } = await caller.call(TaskService.method.submitTask, { type, labels }, await rig.token('root'));
    return task?.id ?? '';
  };
  tasks = {
    plain: await submit('a.plain'),
    other: await submit('a.other'),
    teamX: await submit('b.plain', { team: 'x', tier: 'gold' }),
    teamY: await submit('b.plain', { team: 'y', constructor: '' }),
  };
  await caller.call(TaskService.method.cancelTask, { id: tasks.other }, await rig.token('root'));
  const of = { namespace: 'default', actor: 'test' };
  await rig.database.run((sql) =>
    insertSystemEvents(sql, [
      { ...of, kind: 'task_type.paused', subject: 'a.plain' },
      { ...of, kind: 'circuit.opened', subject: 'a.other' },
      { ...of, kind: 'namespace.paused', subject: 'default' },
    ]),
  );
});
afterAll(async () => {
  caller.close();
  await rig.stop();
});

/** What was seen by a filter: types of events without their prefix and version, and names of tasks. */
async function seenBy(filter: Filter): Promise<string[]> {
  const subscriber = await rig.subscribe({ request: { filter, start: { case: 'cursor', value: start } } });
  const names = new Map<string | undefined, string>(Object.entries(tasks).map(([name, id]) => [id, name]));
  const events = await subscriber.untilCaughtUp();
  await subscriber.stop();
  return events.map(({ event }) => `${event?.type.slice(5, -3)} ${names.get(event?.subject) ?? event?.subject}`);
}

const submitted = ['task.submitted plain', 'task.submitted other', 'task.submitted teamX', 'task.submitted teamY'];
const system = ['task_type.paused a.plain', 'circuit.opened a.other', 'namespace.paused default'];

describe('a filter', () => {
  it.each<[string, Filter, readonly string[]]>([
    ['of nothing', {}, [...submitted, 'task.cancelled other', ...system]],
    ['of one type', { types: ['dstc.task.cancelled.v1'] }, ['task.cancelled other']],
    ['of what types begin with', { types: ['dstc.task.*'] }, [...submitted, 'task.cancelled other']],
    [
      'of several types',
      { types: ['dstc.circuit.*', 'dstc.task.cancelled.v1'] },
      ['task.cancelled other', 'circuit.opened a.other'],
    ],
    ['of every type', { types: ['*'] }, [...submitted, 'task.cancelled other', ...system]],
    [
      'of a task type',
      { taskTypes: ['a.other'] },
      ['task.submitted other', 'task.cancelled other', 'circuit.opened a.other'],
    ],
    ['of a label', { labels: { team: 'x' } }, ['task.submitted teamX']],
    ['of labels that no task has together', { labels: { team: 'y', tier: 'gold' } }, []],
    [
      'of all that it says',
      { taskTypes: ['a.other'], types: ['dstc.task.*'], labels: {} },
      ['task.submitted other', 'task.cancelled other'],
    ],
  ])('%s', async (_, filter, expected) => {
    expect((await seenBy(filter)).toSorted()).toEqual([...expected].sort());
  });

  it('of tasks finds their histories', async () => {
    const filter = { taskIds: [tasks.other.toUpperCase(), tasks.plain, '01890a5d-ac96-774b-bcce-b302099a8057'] };
    expect(await seenBy(filter)).toEqual(['task.submitted plain', 'task.submitted other', 'task.cancelled other']);
  });

  it('of tasks goes on with what happens to them', async () => {
    const [id = ''] = await rig.write(1);
    const filter = { taskIds: [id] };
    const subscriber = await rig.subscribe({ request: { filter, start: { case: 'cursor', value: start } } });
    await subscriber.untilCaughtUp();
    await rig.write(5);
    await caller.call(TaskService.method.cancelTask, { id }, await rig.token('root'));
    const [event] = await subscriber.events(1);
    expect(event?.event).toMatchObject({ subject: id, type: 'dstc.task.cancelled.v1' });
  });
});

test.each<Filter>([
  { labelSelectors: [{ key: 'team', operator: LabelOperator.IN, values: ['x', 'z'] }] },
  { labelSelectors: [{ key: 'team', operator: LabelOperator.NOT_IN, values: ['x'] }] },
  { labelSelectors: [{ key: 'team', operator: LabelOperator.EXISTS }] },
  { labelSelectors: [{ key: 'constructor', operator: LabelOperator.EXISTS }] },
  { labelSelectors: [{ key: 'team', operator: LabelOperator.NOT_EXISTS }] },
  { labelSelectors: [{ key: 'constructor', operator: LabelOperator.NOT_EXISTS }] },
  { labels: { team: 'x' }, labelSelectors: [{ key: 'tier', operator: LabelOperator.NOT_IN, values: ['silver'] }] },
  { labels: { constructor: '' } },
])('labels mean what they mean in a list of tasks: %j', async (filter) => {
  const request = { filter: { labels: filter.labels ?? {}, labelSelectors: filter.labelSelectors ?? [] } };
  const list = await caller.call(TaskService.method.listTasks, request, await rig.token('root'));
  const names = Object.entries(tasks).flatMap(([name, id]) => (list.tasks.some((task) => task.id === id) ? name : []));
  const seen = await seenBy({ ...filter, types: ['dstc.task.submitted.v1'] });
  expect(seen.filter((text) => submitted.includes(text)).map((text) => text.split(' ')[1])).toEqual(names);
});
