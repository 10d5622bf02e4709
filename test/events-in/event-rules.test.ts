// biome-ignore-all lint/suspicious/noTemplateCurlyInString: templates are what is tested.
import { toJson } from '@bufbuild/protobuf';
import { EventRuleService, TestEventRuleResponseSchema } from '@dstc/contract/dstc/v1/event_rule_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { doorNames, type Rig, type Who } from '../services/rig.ts';
import { byDoor, data, json, type RuleInit, startEventRig } from './event-rig.ts';

const { getEventRule, listEventRules, deleteEventRule, testEventRule } = EventRuleService.method;
const { applyTaskType, deleteTaskType } = TaskTypeService.method;

let rig: Rig;
beforeAll(async () => {
  rig = await startEventRig();
});
afterAll(() => rig.stop());

describe.each(doorNames)('over %s', (doorName) => {
  const { door, name, type, apply, event, publish, refused } = byDoor(() => rig, doorName);

  it('keeps everything of a rule, and gives it back with an etag', async () => {
    const rule = {
      name: name('full'),
      description: 'Orders.',
      eventType: type('full.*'),
      eventSource: 'https://shop.example/*',
      condition: 'event.data.total > 10.0',
      input: json({ total: '${event.data.total}', nul: '\u0000', list: [1, null] }),
      labels: { a: '${event.subject}' },
      priority: 0,
      delay: { seconds: 5n },
    };
    const applied = await apply(rule);
    expect(applied).toMatchObject({ ...rule, namespace: 'default', taskType: 'a.plain' });
    const read = await door().call(getEventRule, { name: rule.name }, rig.token('clerk'));
    expect(read.rule).toEqual(applied);
    const plain = await apply({ name: name('full'), eventType: 'x' });
    expect(plain).toMatchObject({ description: '', condition: '', labels: {}, createTime: applied?.createTime });
    expect(plain?.input ?? plain?.priority ?? plain?.delay).toBeUndefined();
  });

  it('changes just what was read, by its etag', async () => {
    const read = await apply({ name: name('etag'), eventType: 'x' });
    const changed = await apply({ ...read, description: 'changed' } as RuleInit);
    const stale = { code: 'Aborted', reason: 'ETAG_MISMATCH', metadata: { event_rule: name('etag') } };
    await refused(() => apply({ ...read, description: 'again' } as RuleInit), stale);
    await refused(() => apply({ name: name('etag.none'), eventType: 'x', etag: 'e\u0000' }), {
      ...stale,
      metadata: { event_rule: name('etag.none') },
    });
    const remove = (etag = '') => door().call(deleteEventRule, { name: name('etag'), etag }, rig.token('root'));
    await refused(() => remove(read?.etag), stale);
    await remove(changed?.etag);
    await refused(() => remove(), {
      code: 'NotFound',
      reason: 'EVENT_RULE_NOT_FOUND',
      metadata: { event_rule: name('etag') },
    });
  });

  it('lets one of many that change the same etag win', async () => {
    const read = await apply({ name: name('race'), eventType: 'x' });
    const changes = Array.from({ length: 20 }, (_, at) => apply({ ...read, description: `change ${at}` } as RuleInit));
    expect((await Promise.allSettled(changes)).filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it('lists the rules of the task types that one may read, in pages', async () => {
    const own = [1, 2, 3].map((at) => name(`list.${at}`));
    for (const each of own) await apply({ name: each, eventType: 'x' });
    await apply({ name: name('list.b'), eventType: 'x', taskType: 'b.plain' });
    const found: string[] = [];
    let pageToken = '';
    do {
      const page = await door().call(listEventRules, { pageSize: 2, pageToken }, rig.token('alice'));
      found.push(...page.rules.map((rule) => rule.name));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(found.filter((each) => each.startsWith(name('list.')))).toEqual(own);
    await refused(() => door().call(listEventRules, { pageToken: 'x' }, rig.token('alice')), {
      code: 'InvalidArgument',
      reason: 'PAGE_TOKEN_INVALID',
      fields: ['page_token'],
    });
  });

  it.each<[string, RuleInit, string]>([
    ['a condition that cannot be read', { condition: 'event.type ==' }, 'rule.condition'],
    ['a condition over what is not there', { condition: 'evnt.type == "a"' }, 'rule.condition'],
    ['a long condition', { condition: `"${'a'.repeat(1_000)}" != ""` }, 'rule.condition'],
    ['NUL in a condition', { condition: '"\u0000" != ""' }, 'rule.condition'],
    ['an expression that is not closed', { input: json({ a: ['${event.id'] }) }, 'rule.input.a[0]'],
    ['a function that is not there', { input: json('${foo(event.id)}') }, 'rule.input'],
    ['a large template', { input: json('x'.repeat(70_000)) }, 'rule.input'],
    ['many expressions', { input: json(Array.from({ length: 600 }, () => '${event.id}')) }, 'rule.input[500]'],
    ['a label that cannot be read', { labels: { 'a.b': '${' } }, 'rule.labels["a.b"]'],
    ['a label of a bad name', { labels: { 'a b': 'c' } }, 'rule.labels["a b"]'],
    ['a star within its type', { eventType: 'a.*.b' }, 'rule.event_type'],
    ['no type', { eventType: '' }, 'rule.event_type'],
    ['a bad name', { name: 'a b' }, 'rule.name'],
    ['no name', { name: '' }, 'rule.name'],
    ['a priority of 10', { priority: 10 }, 'rule.priority'],
    ['a negative delay', { delay: { seconds: -1n } }, 'rule.delay'],
    ['a bad namespace', { namespace: 'A' }, 'rule.namespace'],
  ])('refuses a rule with %s, and names the place', async (_, rule, field) => {
    await refused(() => apply({ name: name('bad'), eventType: 'x', ...rule } as RuleInit), {
      code: 'InvalidArgument',
      reason: 'FIELD_INVALID',
      fields: [field],
    });
  });

  it('refuses a rule for a task type that is not there, or not any more', async () => {
    const missing = (taskType: string) => ({
      code: 'NotFound',
      reason: 'TASK_TYPE_NOT_FOUND',
      metadata: { task_type: taskType },
    });
    await refused(() => apply({ name: name('x'), eventType: 'x', taskType: 'a.none' }), missing('a.none'));
    const gone = `a.gone.${doorName === 'gRPC' ? 'grpc' : 'json'}`;
    await door().call(applyTaskType, { taskType: { name: gone } }, rig.token('root'));
    await apply({ name: name('gone'), eventType: type('gone'), taskType: gone });
    await door().call(deleteTaskType, { name: gone }, rig.token('root'));
    await refused(() => apply({ name: name('gone.2'), eventType: 'x', taskType: gone }), missing(gone));
    await refused(() => publish(event('gone')), {
      ...missing(gone),
      metadata: { task_type: gone, event_rule: name('gone') },
    });
  });

  describe('a test of a rule', () => {
    const test = async (rule: RuleInit, message: object, who: Who = 'root') => {
      const which = { case: 'rule' as const, value: { name: name('test'), taskType: 'a.plain', ...rule } as RuleInit };
      const answer = await door().call(testEventRule, { which, event: message } as never, rig.token(who));
      return toJson(TestEventRuleResponseSchema, answer);
    };

    it('says what would be submitted, and submits nothing', async () => {
      const before = await rig.rowCounts();
      const rule = {
        eventType: type('test*'),
        input: json({ n: '${event.data.n}' }),
        labels: { a: 'b-${event.id}' },
        delay: { seconds: 2n },
      };
      const tested = await test(rule, event('test', { data: data({ n: 5 }) }));
      expect(tested).toMatchObject({
        matches: true,
        submission: {
          taskType: 'a.plain',
          labels: { a: 'b-1' },
          delay: '2s',
          idempotencyKey: expect.stringMatching(/^event:[\w-]{43}$/),
        },
      });
      expect(await rig.rowCounts()).toEqual(before);
      await apply({ name: name('test'), ...rule } as RuleInit);
      const which = { case: 'name' as const, value: name('test') };
      const stored = await door().call(
        testEventRule,
        { which, event: event('test', { data: data({ n: 5 }) }) },
        rig.token('root'),
      );
      expect(toJson(TestEventRuleResponseSchema, stored)).toEqual(tested);
      const published = await publish(event('test', { data: data({ n: 5 }) }));
      const [row] =
        await rig.sql`SELECT idempotency_key FROM task WHERE id = ${String(published?.rules[0]?.result.value)}`;
      expect(row?.idempotency_key).toBe(stored.submission?.idempotencyKey);
    });

    it.each([
      ['another type', { eventType: 'other' }],
      ['another source', { eventSource: '/other' }],
      ['a condition that is not true', { condition: 'event.id != "1"' }],
    ])('says that a rule for %s is not for the event', async (_, rule) => {
      expect(await test({ eventType: type('test'), ...rule }, event('test'))).toEqual({});
    });

    it.each([
      ['EVENT_RULE_FAILED', { condition: 'event.data.n > 1.0' }],
      ['INPUT_INVALID', { taskType: 'a.strict', input: json('text') }],
      ['TASK_TYPE_NOT_FOUND', { taskType: 'a.none' }],
    ])('says why there would be no task: %s', async (reason, rule) => {
      const tested = await test({ eventType: type('test'), ...rule }, event('test'));
      expect(tested).toMatchObject({ matches: true, error: { reason: `ERROR_REASON_${reason}` } });
    });

    it('refuses an event that is none, a rule that is none, and strangers', async () => {
      const invalid = (field: string) => ({ code: 'InvalidArgument', reason: 'FIELD_INVALID', fields: [field] });
      await refused(() => test({ eventType: 'x' }, event('x', { id: '' })), invalid('event.id'));
      await refused(() => test({ eventType: 'x' }, event('x', { source: 'a b' })), invalid('source'));
      await refused(() => test({ eventType: 'x', condition: '(' }, event('x')), invalid('rule.condition'));
      await refused(() => test({ eventType: 'x', taskType: 'b.plain' }, event('x'), 'alice'), {
        code: 'PermissionDenied',
        reason: 'PERMISSION_MISSING',
        metadata: { permission: 'configure', namespace: 'default', task_type: 'b.plain' },
      });
    });
  });

  describe('somebody else’s rule', () => {
    const denied = { code: 'PermissionDenied', reason: 'PERMISSION_MISSING' };

    it('does not exist for who may not read its task type', async () => {
      await apply({ name: name('hidden'), eventType: 'x', taskType: 'b.plain' });
      for (const which of [name('hidden'), name('none')]) {
        const missing = { code: 'NotFound', reason: 'EVENT_RULE_NOT_FOUND', metadata: { event_rule: which } };
        await refused(() => door().call(getEventRule, { name: which }, rig.token('alice')), missing);
        await refused(() => door().call(deleteEventRule, { name: which }, rig.token('alice')), missing);
        const test = { which: { case: 'name' as const, value: which }, event: event('x') };
        await refused(() => door().call(testEventRule, test, rig.token('alice')), missing);
      }
    });

    it('cannot be replaced, nor applied for a task type that one may not configure', async () => {
      await apply({ name: name('taken'), eventType: 'x', taskType: 'b.plain' });
      const metadata = { permission: 'configure', namespace: 'default' };
      await refused(() => apply({ name: name('taken'), eventType: 'x' }, 'alice'), {
        ...denied,
        metadata: { ...metadata, event_rule: name('taken') },
      });
      await refused(() => apply({ name: name('new'), eventType: 'x', taskType: 'b.plain' }, 'alice'), {
        ...denied,
        metadata: { ...metadata, task_type: 'b.plain' },
      });
      const { message } = await refused(() => apply({ name: name('new'), eventType: 'x' }, 'planner'), {
        ...denied,
        metadata: { permission: 'configure' },
      });
      expect(message).toContain('you lack the permission configure on any task type in any namespace;');
    });
  });
});
