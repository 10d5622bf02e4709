import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { WebhookDeliveryState, type WebhookSchema } from '@dstc/contract/dstc/v1/webhook_pb';
import { WebhookService } from '@dstc/contract/dstc/v1/webhook_service_pb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Expected } from './bad-input/bad-call.ts';
import { expectRefused } from './refused.ts';
import { doorNames, type Rig, startRig } from './rig.ts';

const { createWebhook, updateWebhook, getWebhook, listWebhookDeliveries, replayWebhookDeliveries } =
  WebhookService.method;

type WebhookInit = Exclude<MessageInitShape<typeof WebhookSchema>, { $typeName: string }>;

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
  for (const name of ['a.plain', 'b.plain']) {
    await rig.doors.gRPC.call(TaskTypeService.method.applyTaskType, { taskType: { name } }, rig.token('root'));
  }
});
afterAll(() => rig.stop());

const url = 'https://hooks.example.com/dstc';
const ofA = { taskTypes: ['a.plain'] };

describe.each(doorNames)('deliveries of a webhook over %s', (doorName) => {
  const door = () => rig.doors[doorName];
  const refused = (call: () => Promise<unknown>, expected: Expected) => expectRefused(rig, doorName, call, expected);

  async function created(webhook: WebhookInit): Promise<string> {
    const { webhook: made } = await door().call(createWebhook, { webhook: { url, ...webhook } }, rig.token('root'));
    if (made === undefined) throw new Error('a webhook was created without an answer');
    return made.id;
  }

  /** A disabled webhook with deliveries, oldest first, a second apart, so that nothing is sent. */
  async function withDeliveries(states: readonly string[]): Promise<string> {
    const id = await created({ disabled: true });
    for (const [index, state] of states.entries()) {
      await rig.sql`
        INSERT INTO webhook_delivery (webhook_id, event_id, event_type, event, sequence, state, attempts, expire_time,
          create_time, error)
        VALUES (${id}, ${`e${index}`}, 'dstc.task.failed.v1', '{}', 1, ${state}::text::webhook_delivery_state, 3,
          now() + interval '1 hour', now() - (${100 - index}::int) * interval '1 second', 'HTTP 500')`;
    }
    return id;
  }

  it('are listed newest first, page by page, by state', async () => {
    const id = await withDeliveries(['SUCCEEDED', 'DEAD_LETTER', 'PENDING', 'DEAD_LETTER', 'SUCCEEDED']);
    const seen: string[] = [];
    let pageToken = '';
    do {
      const page = await door().call(listWebhookDeliveries, { id, pageSize: 2, pageToken }, rig.token('root'));
      seen.push(...page.deliveries.map((delivery) => `${delivery.eventId} ${WebhookDeliveryState[delivery.state]}`));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(seen).toEqual(['e4 SUCCEEDED', 'e3 DEAD_LETTER', 'e2 PENDING', 'e1 DEAD_LETTER', 'e0 SUCCEEDED']);
    const states = [WebhookDeliveryState.DEAD_LETTER];
    const page = await door().call(listWebhookDeliveries, { id, states, pageSize: 1 }, rig.token('root'));
    expect(page.deliveries).toMatchObject([
      { eventId: 'e3', attempts: 3, error: 'HTTP 500', eventType: 'dstc.task.failed.v1' },
    ]);
    await refused(() => door().call(listWebhookDeliveries, { id, pageToken: page.nextPageToken }, rig.token('root')), {
      code: 'InvalidArgument',
      reason: 'PAGE_TOKEN_INVALID',
      fields: ['page_token'],
    });
    const { webhook } = await door().call(getWebhook, { id }, rig.token('root'));
    expect(webhook?.status).toMatchObject({ pending: 1, deadLetters: 2 });
  });

  it('are replayed one by one, all dead letters, or all since a time', async () => {
    const id = await withDeliveries(['SUCCEEDED', 'DEAD_LETTER', 'PENDING', 'DEAD_LETTER', 'SUCCEEDED']);
    const pending = async () => {
      const states = [WebhookDeliveryState.PENDING];
      const { deliveries } = await door().call(listWebhookDeliveries, { id, states }, rig.token('root'));
      return deliveries.filter(({ attempts }) => attempts === 0).map(({ eventId }) => eventId);
    };
    const replay = (which: object) => door().call(replayWebhookDeliveries, { id, ...which }, rig.token('root'));
    expect(await replay({ which: { case: 'eventId', value: 'e0' } })).toMatchObject({ replayed: 1 });
    expect(await pending()).toEqual(['e0']);
    expect(await replay({ which: { case: 'deadLetters', value: true } })).toMatchObject({
      ...{ replayed: 2, nextPageToken: '' },
    });
    expect(await pending()).toEqual(['e3', 'e1', 'e0']);
    const since = timestampFromMs(Date.now() - 97_500);
    expect(await replay({ which: { case: 'since', value: since } })).toMatchObject({ replayed: 1 });
    expect(await pending()).toEqual(['e4', 'e3', 'e1', 'e0']);
    await refused(() => replay({ which: { case: 'eventId', value: 'nobodys' } }), {
      ...{ code: 'NotFound', reason: 'WEBHOOK_NOT_FOUND', metadata: { webhook_id: id, event_id: 'nobodys' } },
    });
  });

  it('are there only for who may read their events, also after the filter has changed', async () => {
    const id = await created({ filter: { taskTypes: ['a.plain', 'b.plain'] }, disabled: true });
    const others = { labels: { tasktype: 'a.plain' }, text: '\u0000","tasktype":"a.plain"' };
    await insertDelivery(id, { eventId: 'mine', type: 'dstc.task.failed.v1', taskType: 'a.plain', data: others });
    await insertDelivery(id, { eventId: 'theirs', type: 'dstc.task.failed.v1', taskType: 'b.plain', data: others });
    await insertDelivery(id, { eventId: 'nobodys', type: 'dstc.namespace.paused.v1', data: others });
    await rig.sql`
      UPDATE webhook SET last_failure_time = now(), last_failure = 'HTTP 500: theirs' WHERE id = ${id}`;
    await door().call(updateWebhook, { webhook: { id, url, filter: ofA, disabled: true } }, rig.token('root'));
    const { webhook } = await door().call(getWebhook, { id }, rig.token('alice'));
    expect(webhook?.status).toMatchObject({ pending: 0, deadLetters: 1, lastFailure: '' });
    expect(webhook?.status?.lastFailureTime).toBeUndefined();
    const listed = await door().call(listWebhookDeliveries, { id }, rig.token('alice'));
    expect(listed.deliveries.map(({ eventId }) => eventId)).toEqual(['mine']);
    const replay = (which: object) => door().call(replayWebhookDeliveries, { id, ...which }, rig.token('alice'));
    for (const eventId of ['theirs', 'nobodys']) {
      await refused(() => replay({ which: { case: 'eventId', value: eventId } }), {
        ...{ code: 'NotFound', reason: 'WEBHOOK_NOT_FOUND', metadata: { webhook_id: id, event_id: eventId } },
      });
    }
    expect(await replay({ which: { case: 'since', value: timestampFromMs(0) } })).toMatchObject({ replayed: 1 });
    const waiting = await rig.sql`SELECT event_id FROM webhook_delivery WHERE webhook_id = ${id} AND state = 'PENDING'`;
    expect([...waiting]).toEqual([{ event_id: 'mine' }]);
  });

  async function insertDelivery(
    webhookId: string,
    { eventId, type, taskType, data }: { eventId: string; type: string; taskType?: string; data: object },
  ): Promise<void> {
    const attributes = { specversion: '1.0', type, source: '/cells/"test"', namespace: 'default' };
    const event = JSON.stringify({ ...attributes, ...(taskType && { tasktype: taskType }), id: eventId, data });
    await rig.sql`
      INSERT INTO webhook_delivery (webhook_id, event_id, event_type, event, sequence, state, expire_time)
      VALUES (${webhookId}, ${eventId}, ${type}, ${event}, 1, 'DEAD_LETTER', now() + interval '1 hour')`;
  }
});
