// biome-ignore-all lint/suspicious/noTemplateCurlyInString: templates are what is tested.
import { create } from '@bufbuild/protobuf';
import { EventDisposition } from '@dstc/contract/dstc/v1/cloud_event_pb';
import { ErrorReason } from '@dstc/contract/dstc/v1/error_pb';
import { EventRuleService } from '@dstc/contract/dstc/v1/event_rule_service_pb';
import { EventService } from '@dstc/contract/dstc/v1/event_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { doorNames, type Rig } from '../services/rig.ts';
import { byDoor, data, json, type RuleInit, startEventRig } from './event-rig.ts';
import { orderPlaced, postEvent } from './post-event.ts';

const { applyEventRule, deleteEventRule } = EventRuleService.method;
const { publishEvent, publishEvents } = EventService.method;
const { applyTaskType } = TaskTypeService.method;

let rig: Rig;
beforeAll(async () => {
  rig = await startEventRig();
});
afterAll(() => rig.stop());

describe.each(doorNames)('over %s', (doorName) => {
  const { door, name, type, apply, event, publish, refused } = byDoor(() => rig, doorName);

  it('has every rule that is for an event make its task, by name', async () => {
    await apply({ name: name('two.b'), eventType: type('two'), input: json('${event.id}') });
    await apply({
      name: name('two.a'),
      eventType: type('tw*'),
      taskType: 'a.other',
      priority: 9,
      delay: { seconds: 60n },
    });
    await apply({ name: name('two.c'), eventType: type('two'), eventSource: '/other' });
    const published = await publish(event('two', { data: data(3) }));
    expect(published).toMatchObject({
      disposition: EventDisposition.SUBMITTED,
      rules: [
        { rule: name('two.a'), taskType: 'a.other', alreadyExisted: false },
        { rule: name('two.b'), taskType: 'a.plain', alreadyExisted: false },
      ],
    });
    const ids = published?.rules.map(({ result }) => String(result.value)) ?? [];
    const rows = await rig.sql`
      SELECT input, priority, available_time > now() + interval '50 s' AS later FROM task WHERE id = ANY(${ids}) ORDER BY type`;
    expect(rows.map((row) => ({ ...row, input: row.input.toString() }))).toEqual([
      { input: '3', priority: 9, later: true },
      { input: '"1"', priority: 4, later: false },
    ]);
    const again = await publish(event('two', { data: data(3) }));
    expect(again?.rules.map(({ result }) => result.value)).toEqual(ids);
    expect(again?.rules.every(({ alreadyExisted }) => alreadyExisted)).toBe(true);
  });

  it('makes one task of an event also when the rule has changed meanwhile, and another one for another type', async () => {
    const rule = { name: name('changed'), eventType: type('changed'), input: json('first') };
    await apply(rule);
    const first = await publish(event('changed'));
    await apply({ ...rule, input: json('second'), labels: { a: 'b' } });
    const second = await publish(event('changed'));
    expect(second?.rules).toMatchObject([{ result: first?.rules[0]?.result, alreadyExisted: true }]);
    await apply({ ...rule, taskType: 'a.other' });
    expect((await publish(event('changed')))?.rules).toMatchObject([{ alreadyExisted: false }]);
  });

  it('stops with a rule that is deleted, at once on this node', async () => {
    await apply({ name: name('deleted'), eventType: type('deleted') });
    expect((await publish(event('deleted')))?.rules).toHaveLength(1);
    await door().call(deleteEventRule, { name: name('deleted') }, rig.token('root'));
    expect(await publish(event('deleted', { id: '2' }))).toMatchObject({ disposition: EventDisposition.IGNORED });
  });

  describe('a rule that fails', () => {
    it.each<[string, RuleInit, string]>([
      ['its condition has no value', { condition: 'event.data.missing' }, 'rule.condition'],
      ['its condition is neither true nor false', { condition: 'event.id' }, 'rule.condition'],
      ['its input has no value', { input: json({ a: '${event.data.missing}' }) }, 'rule.input.a'],
      [
        'it takes too many steps',
        { condition: 'event.data.list.all(x, event.data.list.all(y, true))' },
        'rule.condition',
      ],
      ['its label is too long', { labels: { a: '${event.data.long}' } }, 'rule.labels["a"]'],
      ['its label has a line break', { labels: { a: '${"\\n"}' } }, 'rule.labels["a"]'],
    ])('makes no task, and is the error when no other rule is for the event: %s', async (title, rule, field) => {
      const kind = `fails.${title.replaceAll(' ', '-')}`;
      await apply({ name: name('fails'), eventType: type(kind), ...rule } as RuleInit);
      const content = { list: Array.from({ length: 3_000 }, () => 1), long: 'secret'.repeat(100) };
      const refusal = await refused(() => publish(event(kind, { data: data(content) })), {
        code: 'InvalidArgument',
        reason: 'EVENT_RULE_FAILED',
        metadata: { event_rule: name('fails') },
        fields: [field],
      });
      expect(refusal.message).toContain(`${field} of event rule ${name('fails')}: `);
      expect(JSON.stringify([refusal.message, refusal.violations])).not.toContain('secret');
    });

    it('makes no task when its input would be larger than inputs may be, however short the template is', async () => {
      const input = json(Array.from({ length: 330 }, () => '${event.data.s}'));
      await apply({ name: name('large'), eventType: type('large'), input });
      await refused(() => publish(event('large', { data: data({ s: '\u0001'.repeat(70_000) }) })), {
        code: 'ResourceExhausted',
        reason: 'PAYLOAD_TOO_LARGE',
        metadata: { limit_bytes: String(2 * 1024 * 1024), event_rule: name('large') },
      });
    });

    it('stands beside what the others have made', async () => {
      await apply({ name: name('mixed.a'), eventType: type('mixed'), condition: 'event.data.missing' });
      await apply({ name: name('mixed.b'), eventType: type('mixed') });
      const published = await publish(event('mixed'));
      expect(published).toMatchObject({
        disposition: EventDisposition.SUBMITTED,
        rules: [
          { result: { case: 'error', value: { reason: ErrorReason.EVENT_RULE_FAILED } } },
          { result: { case: 'taskId' } },
        ],
      });
    });

    it('is the event’s error when sending it again may help', async () => {
      const full = `a.full.${doorName === 'gRPC' ? 'grpc' : 'json'}`;
      await door().call(applyTaskType, { taskType: { name: full, limits: { queueMax: 1 } } }, rig.token('root'));
      await apply({ name: name('full.a'), eventType: type('full') });
      await apply({ name: name('full.b'), eventType: type('full'), taskType: full });
      await publish(event('full'));
      await expect(publish(event('full', { id: '2' }))).rejects.toMatchObject({
        code: 'ResourceExhausted',
        infos: [{ reason: 'QUEUE_FULL', metadata: { event_rule: name('full.b') } }],
      });
    });
  });

  describe('somebody else’s rule', () => {
    const denied = { code: 'PermissionDenied', reason: 'PERMISSION_MISSING' };

    it('makes no task of events, and is not spoken of', async () => {
      await apply({ name: name('foreign.b'), eventType: type('foreign'), taskType: 'b.plain', condition: 'event.x' });
      expect(await publish(event('foreign'), 'planner')).toMatchObject({
        disposition: EventDisposition.IGNORED,
        rules: [],
      });
      await apply({ name: name('foreign.a'), eventType: type('foreign') });
      const published = await publish(event('foreign'), 'planner');
      expect(published?.rules.map(({ rule }) => rule)).toEqual([name('foreign.a')]);
    });

    it('is of another tenant', async () => {
      await apply({ name: name('tenant'), eventType: type('tenant'), namespace: 'elsewhere' });
      expect(await publish(event('tenant'))).toMatchObject({ disposition: EventDisposition.IGNORED });
      await refused(
        () => door().call(publishEvent, { event: event('tenant'), namespace: 'elsewhere' }, rig.token('alice')),
        {
          ...denied,
          metadata: { permission: 'submit', namespace: 'elsewhere' },
        },
      );
      await refused(() => publish(event('tenant'), 'clerk'), {
        ...denied,
        metadata: { permission: 'submit', namespace: 'default' },
      });
    });
  });

  describe('events as messages', () => {
    it.each<[string, object, string]>([
      ['no id', { id: '' }, 'event.id'],
      ['no source', { source: '' }, 'event.source'],
      ['a bad time', { time: 'now' }, 'time'],
      ['an extension in capitals', { extensions: { traceParent: 'x' } }, '"traceParent"'],
      ['an extension that is none', { extensions: { id: 'x' } }, 'id'],
    ])('are refused with %s', async (_, changes, field) => {
      await refused(() => publish(event('bad', changes)), {
        code: 'InvalidArgument',
        reason: 'FIELD_INVALID',
        fields: [field],
      });
    });

    it('come in batches, each with its result', async () => {
      await apply({ name: name('batch'), eventType: type('batch') });
      const events = [event('batch'), event('batch', { id: '' }), event('none'), event('batch')];
      const { results } = await door().call(publishEvents, { events }, rig.token('planner'));
      expect(results.map(({ index, result }) => [index, result.case])).toEqual([
        [0, 'event'],
        [1, 'error'],
        [2, 'event'],
        [3, 'event'],
      ]);
      for (const wrong of [[], Array.from({ length: 101 }, () => event('batch'))]) {
        await refused(() => door().call(publishEvents, { events: wrong }, rig.token('root')), {
          code: 'InvalidArgument',
          reason: 'FIELD_INVALID',
          fields: ['events'],
        });
      }
    });

    it('carry JSON in any order of its keys', async () => {
      await apply({ name: name('order'), eventType: type('order') });
      const first = await publish(event('order', { data: data({ a: 1, b: 2 }) }));
      const second = await publish(event('order', { data: data({ b: 2, a: 1 }) }));
      expect(second?.rules[0]).toMatchObject({ result: first?.rules[0]?.result, alreadyExisted: true });
    });
  });
});

it('takes what another node has applied within two seconds, and makes one task of an event on both', async () => {
  const node = await rig.coordinator.startNode();
  const event = (id: string) => orderPlaced(id, { type: 'two.nodes' });
  const ignored = await postEvent(rig, event('1'), { url: node.httpUrl });
  expect(ignored.json.event.disposition).toBe('EVENT_DISPOSITION_IGNORED');
  const rule = create(EventRuleService.method.applyEventRule.input, {
    rule: { name: 'two.nodes', eventType: 'two.nodes', taskType: 'a.plain' },
  });
  await rig.doors.gRPC.call(applyEventRule, rule, rig.token('root'));
  const first = await postEvent(rig, event('1'));
  await expect
    .poll(async () => (await postEvent(rig, event('1'), { url: node.httpUrl })).json.event.rules, { timeout: 2_000 })
    .toEqual([{ ...first.json.event.rules[0], alreadyExisted: true }]);
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, at) => postEvent(rig, event('2'), at % 2 === 0 ? {} : { url: node.httpUrl })),
  );
  expect(new Set(answers.map(({ json: answer }) => answer.event.rules[0].taskId)).size).toBe(1);
});
