import { create, fromBinary, toJson } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { EventSchema } from '@dstc/contract/dstc/v1/event_pb';
import { TaskFailedSchema } from '@dstc/contract/dstc/v1/task_event_data_pb';
import { describe, expect, test } from 'vitest';
import { cloudEventFormats, cloudEventMessage, structuredEvent } from './cloud-event.ts';

const id = '01890a5d-ac96-774b-bcce-b302099a8057';
const event = create(EventSchema, {
  ...{ id: `${id}:3`, type: 'dstc.task.failed.v1', source: '/cells/dstc', subject: id, namespace: 'shop' },
  time: timestampFromDate(new Date('2026-11-14T22:13:20.123Z')),
  ...{ taskType: 'email.send', sequence: 3, actor: 'user:Jürgen "%"\r\nce-id: forged' },
  data: { case: 'taskFailed', value: { error: { code: 'BROKEN', message: 'kaputt' } } },
});
const data = { error: { code: 'BROKEN', message: 'kaputt' } };
const attributes = {
  ...{ specversion: '1.0', id: `${id}:3`, type: 'dstc.task.failed.v1', source: '/cells/dstc', subject: id },
  ...{ time: '2026-11-14T22:13:20.123Z', namespace: 'shop', tasktype: 'email.send' },
  ...{ sequence: '0000000003', sequencetype: 'Integer' },
};

describe('an event as a CloudEvent', () => {
  test('is one JSON object in the structured form', () => {
    const whole = { ...attributes, actor: event.actor, datacontenttype: 'application/json', data };
    expect(structuredEvent(event)).toEqual(whole);
    const { headers, body } = cloudEventMessage(event, 'structured');
    expect(headers).toEqual([['content-type', 'application/cloudevents+json; charset=utf-8']]);
    expect(JSON.parse(String(body))).toEqual(whole);
  });

  test.each([
    ['binary', 'application/json', (body: Uint8Array) => JSON.parse(String(body))],
    [
      'protobuf',
      'application/protobuf',
      (body: Uint8Array) => toJson(TaskFailedSchema, fromBinary(TaskFailedSchema, body)),
    ],
  ] as const)(
    'has its attributes in headers in the %s form, and no more than the data in the body',
    (format, contentType, read) => {
      const { headers, body } = cloudEventMessage(event, format);
      const expected = Object.entries(attributes).map(([name, value]) => [`ce-${name}`, value]);
      expect(headers.slice(0, -1)).toEqual([['content-type', contentType], ...expected]);
      expect(headers.at(-1)).toEqual(['ce-actor', 'user:J%C3%BCrgen%20%22%25%22%0D%0Ace-id:%20forged']);
      expect(read(body)).toEqual(data);
    },
  );

  test('leaves out what is empty', () => {
    const bare = create(EventSchema, { type: 'dstc.policy.changed.v1', data: { case: 'policyChanged', value: {} } });
    for (const format of cloudEventFormats) expect(cloudEventMessage(bare, format).body.byteLength).toBeLessThan(200);
    expect(Object.keys(structuredEvent(bare))).not.toContain('namespace');
  });
});
