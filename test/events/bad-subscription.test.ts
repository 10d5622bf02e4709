import { ConnectError } from '@connectrpc/connect';
import { EventService } from '@dstc/contract/dstc/v1/event_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toCursor } from '../../server/doors/convert/cursor.ts';
import { toPageToken } from '../../server/doors/convert/page-token.ts';
import { refusalOf } from '../doors/rig.ts';
import { grpcCaller } from '../services/caller.ts';
import { type EventRig, startEventRig } from './rig.ts';
import { eventDoors, type SubscriberOptions } from './subscriber.ts';

type Request = NonNullable<SubscriberOptions['request']>;

let rig: EventRig;
/** A good one. */
let cursor: string;
beforeAll(async () => {
  rig = await startEventRig();
  cursor = (await rig.subscribe()).cursor();
});
afterAll(() => rig.stop());

const id = '01890a5d-ac96-774b-bcce-b302099a8057';
const stream = { cell: 'dstc', namespace: 'default' };
const startAt = (value: string): Request => ({ start: { case: 'cursor', value } });
const sealed = (text: string) => startAt(toPageToken(['stream', 'dstc', 'default'], text));
const oldMs = Date.now() - 100 * 24 * 3_600_000;

const cursors: Readonly<Record<string, () => Request>> = {
  'that is none': () => startAt('x'),
  'that was altered': () => startAt(`${cursor.slice(0, -2)}${cursor.at(-2) === 'A' ? 'B' : 'A'}${cursor.slice(-1)}`),
  'with something behind it': () => startAt(`${cursor}==`),
  'of another namespace': () => ({ ...startAt(cursor), namespace: 'elsewhere' }),
  'of another installation': () => {
    const position = { order: '1', subjectId: id, sequence: 1, timeMs: Date.now() };
    return startAt(toCursor({ ...stream, cell: 'other' }, { position, sinceMs: undefined }));
  },
  'with an order that there cannot be': () => sealed(`99999999999999999999.${id}.1.${Date.now()}`),
  'with a sequence that there cannot be': () => sealed(`1.${id}.4294967296.${Date.now()}`),
  'that is no position': () => sealed("1'; DROP TABLE task; --"),
  'of another clock of transactions': () =>
    startAt(
      toCursor(stream, {
        position: { order: '5000000000000', subjectId: id, sequence: 1, timeMs: Date.now() },
        sinceMs: undefined,
      }),
    ),
  'that is older than the history': () =>
    startAt(
      toCursor(stream, { position: { order: '5', subjectId: id, sequence: 1, timeMs: oldMs }, sinceMs: undefined }),
    ),
};

const fields: Readonly<Record<string, { readonly request: Request; readonly field: string }>> = {
  'a type with a character that none has': { request: { filter: { types: ['dstc.Task'] } }, field: 'filter.types[0]' },
  'a type that no event has': { request: { filter: { types: ['*', 'dstc.task.faild.v1'] } }, field: 'filter.types[1]' },
  'a beginning that no type has': { request: { filter: { types: ['dstc.tsk.*'] } }, field: 'filter.types[0]' },
  'a task type that cannot be': { request: { filter: { taskTypes: ['a b'] } }, field: 'filter.task_types[0]' },
  'an id that is none': { request: { filter: { taskIds: ['1'] } }, field: 'filter.task_ids[0]' },
  'more ids than fit': { request: { filter: { taskIds: Array(101).fill(id) } }, field: 'filter.task_ids' },
  'a label without a name': { request: { filter: { labels: { '': 'x' } } }, field: 'filter.labels[""]' },
  'a selector that nothing can meet': {
    request: { filter: { labelSelectors: [{ key: 'x' }] } },
    field: 'filter.label_selectors[0]',
  },
  'a namespace that cannot be': { request: { namespace: 'A' }, field: 'namespace' },
  'a time before all times': {
    request: { start: { case: 'startTime', value: { seconds: -1n } } },
    field: 'start_time',
  },
};

describe.each(eventDoors)('over %s', (door) => {
  it.each(Object.entries(cursors))('refuses a cursor %s', async (_, request) => {
    expect(await refusalOf(rig.subscribe({ door, request: request() }))).toMatchObject({
      code: 'InvalidArgument',
      reason: 'PAGE_TOKEN_INVALID',
      fields: ['cursor'],
      infos: 1,
    });
  });

  it.each(Object.entries(fields))('refuses %s', async (_, { request, field }) => {
    const refusal = await refusalOf(rig.subscribe({ door, request }));
    expect(refusal).toMatchObject({ code: 'InvalidArgument', reason: 'FIELD_INVALID', infos: 1 });
    expect(refusal.fields).toContain(field);
  });

  it('refuses who may read nothing in the namespace', async () => {
    const token = await rig.token('stranger');
    expect(await refusalOf(rig.subscribe({ door, token }))).toMatchObject({
      code: 'PermissionDenied',
      reason: 'PERMISSION_MISSING',
    });
  });

  it('refuses who has no token', async () => {
    expect(await refusalOf(rig.subscribe({ door, token: 'x' }))).toMatchObject({ reason: 'TOKEN_INVALID' });
  });
});

it('refuses a time of too many nanoseconds, which JSON has no words for', async () => {
  const request: Request = { start: { case: 'startTime', value: { seconds: 1n, nanos: 2_000_000_000 } } };
  expect(await refusalOf(rig.subscribe({ request }))).toMatchObject({
    reason: 'FIELD_INVALID',
    fields: ['start_time'],
  });
});

it('takes an old cursor of a subscription that began with a time, which asked for what there is', async () => {
  const position = { order: '5', subjectId: id, sequence: 1, timeMs: oldMs };
  const subscriber = await rig.subscribe({ request: startAt(toCursor(stream, { position, sinceMs: oldMs })) });
  await expect(subscriber.untilCaughtUp()).resolves.not.toBeInstanceOf(ConnectError);
});

it('refuses to publish events of all namespaces once more for who operates one, whatever types and namespace that is', async () => {
  const caller = grpcCaller(rig.coordinator.grpcAddress);
  const { rebuildEvents } = EventService.method;
  const refusal = async (who: Parameters<EventRig['token']>[0]) => caller.call(rebuildEvents, {}, await rig.token(who));
  for (const who of ['alice', 'stranger'] as const) {
    await expect(refusal(who)).rejects.toMatchObject({ infos: [{ reason: 'PERMISSION_MISSING' }] });
  }
  // It has the right, and nothing is published here.
  await expect(refusal('root')).rejects.toMatchObject({ infos: [{ reason: 'UNIMPLEMENTED' }] });
  caller.close();
});
