import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { insertSystemEvents, type NewSystemEvent } from '../../server/store/insert-system-events.ts';
import { grpcCaller } from '../services/caller.ts';
import { type EventRig, startEventRig } from './rig.ts';
import { eventDoors, keyOf, type SubscriberOptions } from './subscriber.ts';

type Request = NonNullable<SubscriberOptions['request']>;

let rig: EventRig;
beforeAll(async () => {
  rig = await startEventRig();
});
afterAll(() => rig.stop());

const hourAgo = () => ({ case: 'startTime' as const, value: timestampFromDate(new Date(Date.now() - 3_600_000)) });
const fromCursor = (cursor: string): Request => ({ start: { case: 'cursor', value: cursor } });

describe.each(eventDoors)('over %s', (door) => {
  it('sends what is there from a time on, and then what comes, each event once and in order', async () => {
    const ids = await rig.write(300);
    const filter = { types: ['dstc.task.*'], labels: { round: door } };
    const subscriber = await rig.subscribe({ door, request: { start: hourAgo(), filter } });
    for (let count = 0; count < 3; count += 1) ids.push(...(await rig.write(20, { labels: { round: door } })));
    const stored = await rig.stored(ids.slice(300));
    expect((await subscriber.events(60)).map(keyOf)).toEqual(stored);
    const everything = await rig.subscribe({ door, request: { start: hourAgo() } });
    const seen = (await everything.untilCaughtUp()).map(keyOf).filter((key) => ids.includes(key.slice(0, 36)));
    expect(seen).toEqual(await rig.stored(ids));
  });

  it('sends only what is committed from now on when nothing else is asked for', async () => {
    await rig.write(5);
    const subscriber = await rig.subscribe({ door, request: { filter: { types: ['dstc.task.*'] } } });
    const [id] = await rig.write(1);
    const [first] = await subscriber.events(1);
    expect(first?.event).toMatchObject({
      id: `${id}:1`,
      type: 'dstc.task.submitted.v1',
      source: '/cells/dstc',
      subject: id,
      namespace: 'default',
      taskType: 'a.plain',
      sequence: 1,
      actor: 'test',
    });
  });

  it('goes on after any cursor, on any node', async () => {
    const node = await rig.coordinator.startNode();
    const first = await rig.subscribe({ door });
    const start = first.cursor();
    const ids: string[] = [];
    for (let count = 0; count < 4; count += 1) ids.push(...(await rig.write(5)));
    const events = await first.events(20);
    const keys = events.map(keyOf);
    expect(keys).toEqual(await rig.stored(ids));
    for (const [index, cursor] of [start, ...events.map((event) => event.cursor)].entries()) {
      const later = await rig.subscribe({ door, node, request: fromCursor(cursor) });
      expect((await later.events(20 - index)).map(keyOf)).toEqual(keys.slice(index));
      await later.stop();
    }
    await node.stop();
  });

  it('sends events of tasks with what happened, whoever did it', async () => {
    const subscriber = await rig.subscribe({ door, request: { filter: { taskTypes: ['a.other'] } } });
    const caller = grpcCaller(rig.coordinator.grpcAddress);
    const token = await rig.token('alice');
    const { submitTask, cancelTask } = TaskService.method;
    const { task } = await caller.call(submitTask, { type: 'a.other', labels: { team: 'x' } }, token);
    await caller.call(cancelTask, { id: task?.id ?? '', reason: 'not needed' }, token);
    const [submitted, cancelled] = await subscriber.events(2);
    caller.close();
    expect(submitted?.event?.data).toMatchObject({ case: 'taskSubmitted', value: { task: { labels: { team: 'x' } } } });
    expect(cancelled?.event).toMatchObject({
      type: 'dstc.task.cancelled.v1',
      sequence: 2,
      actor: expect.stringMatching(/^alice@/),
    });
    expect(cancelled?.event?.data).toMatchObject({ case: 'taskCancelled', value: { reason: 'not needed' } });
  });

  it('sends only events of what the caller may read', async () => {
    const subscriber = await rig.subscribe({ door, token: await rig.token('reader') });
    await rig.write(5, { type: 'b.plain' });
    await rig.write(5, { namespace: 'elsewhere' });
    const ids = await rig.write(2);
    expect((await subscriber.events(2)).map(keyOf)).toEqual(await rig.stored(ids));
  });

  it('sends events of workers, namespaces and the policy to those who operate all that they concern', async () => {
    const start = (await rig.subscribe({ door })).cursor();
    const of = { namespace: 'default', actor: 'test' };
    const write = (events: readonly NewSystemEvent[]) => rig.database.run((sql) => insertSystemEvents(sql, events));
    const session = (subject: string, taskTypes: Record<string, number>) => ({
      ...{ ...of, kind: 'worker_session.started' as const, subject, data: { taskTypes, labels: {}, node: 'n' } },
    });
    const [inA, inBoth] = [`${door}-a`, `${door}-both`];
    await write([session(inA, { 'a.plain': 1 }), session(inBoth, { 'a.plain': 1, 'b.plain': 1 })]);
    const ended = (subject: string) => ({ ...of, kind: 'worker_session.ended' as const, subject });
    await write([ended(inA), ended(inBoth), ended(`${door}-unknown`)]);
    await write([
      { ...of, kind: 'namespace.paused', subject: 'default' },
      { ...of, kind: 'policy.changed', namespace: '', subject: 'policy' },
      { ...of, kind: 'circuit.opened', subject: 'a.plain' },
      { ...of, kind: 'task_type.paused', subject: 'b.plain' },
      { ...of, kind: 'namespace.paused', namespace: 'elsewhere', subject: 'elsewhere' },
    ]);
    const seenBy = async (who: 'root' | 'alice' | 'reader') => {
      const token = await rig.token(who);
      const subscriber = await rig.subscribe({ door, token, request: fromCursor(start) });
      const events = await subscriber.untilCaughtUp();
      return events.map(({ event }) => `${event?.type.slice(5, -3)} ${event?.subject}`).sort();
    };
    const all = [
      'circuit.opened a.plain',
      'namespace.paused default',
      'policy.changed policy',
      'task_type.paused b.plain',
    ];
    const sessions = [inA, inBoth].flatMap((name) => [
      `worker_session.ended ${name}`,
      `worker_session.started ${name}`,
    ]);
    expect(await seenBy('root')).toEqual([...all, ...sessions, `worker_session.ended ${door}-unknown`].sort());
    expect(await seenBy('alice')).toEqual(
      ['circuit.opened a.plain', `worker_session.ended ${inA}`, `worker_session.started ${inA}`].sort(),
    );
    expect(await seenBy('reader')).toEqual(['circuit.opened a.plain']);
  });

  it('ends with the token of its caller', async () => {
    const exp = Math.floor(Date.now() / 1_000) + 2;
    const token = await rig.coordinator.identity.forge({ sub: 'root', client_id: 'root', exp });
    const subscriber = await rig.subscribe({ door, token });
    expect(await subscriber.end()).toEqual({ code: 'Unauthenticated', reason: 'TOKEN_INVALID' });
    expect(Date.now()).toBeGreaterThanOrEqual(exp * 1_000);
    expect(Date.now()).toBeLessThan(exp * 1_000 + 2_000);
  });

  it('sends its callers to another node when the node shuts down', async () => {
    const node = await rig.coordinator.startNode();
    const subscriber = await rig.subscribe({ door, node });
    const draining = node.drain();
    expect(await subscriber.end()).toEqual({ code: 'Unavailable', reason: 'NODE_DRAINING' });
    await draining;
  });
});

test('goes on after the cursor of a sign of life, also past what the filter leaves out', async () => {
  const first = await rig.subscribe({ request: { filter: { taskTypes: ['a.other'] } } });
  const [other] = await rig.write(1, { type: 'a.other' });
  await rig.write(50);
  expect((await first.events(1)).map(keyOf)).toEqual([`${other}:1`]);
  // The first of them may be on its way already.
  for (let count = 0; count < 2; count += 1) expect((await first.next()).events).toEqual([]);
  const later = await rig.subscribe({ request: fromCursor(first.cursor()) });
  const [last] = await rig.write(1);
  expect((await later.events(1)).map(keyOf)).toEqual([`${last}:1`]);
});
