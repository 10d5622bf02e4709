import { fromBinary, toJson } from '@bufbuild/protobuf';
import { TaskFailedSchema } from '@dstc/contract/dstc/v1/task_event_data_pb';
import { describe, expect, test } from 'vitest';
import type { StoredEvent, StoredTaskEvent } from '../store/select-events.ts';
import { type CloudEventFormat, cloudEventForm, cloudEventFormats, structuredEvent } from './cloud-event.ts';

const id = '01890a5d-ac96-774b-bcce-b302099a8057';
const event: StoredTaskEvent = {
  of: 'task',
  position: { order: '7', subjectId: id, sequence: 3, timeMs: Date.parse('2026-11-14T22:13:20.123Z') },
  ...{ namespace: 'shop', type: 'email.send', kind: 'failed', state: 'FAILED', attempt: 1, labels: {} },
  ...{ actor: 'user:Jürgen "%"\r\nce-id: forged', leaseId: null, sessionId: null, reason: null, retryDelayMs: null },
  error: { code: 'BROKEN', message: 'kaputt', kind: 'TRANSIENT' },
  traceParent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
};
const data = {
  task: { id, type: 'email.send', state: 'TASK_STATE_FAILED', attempt: 1 },
  error: { code: 'BROKEN', message: 'kaputt', kind: 'FAILURE_KIND_TRANSIENT' },
};
const common = {
  ...{ specversion: '1.0', type: 'dstc.task.failed.v1', source: '/cells/dstc', namespace: 'shop' },
  ...{ tasktype: 'email.send', sequencetype: 'Integer' },
};
const own = { id: `${id}:3`, subject: id, time: '2026-11-14T22:13:20.123Z', sequence: '0000000003' };
const trace = { traceparent: event.traceParent };

function written(of: StoredEvent, format: CloudEventFormat) {
  const form = cloudEventForm(format, 'dstc');
  return { headers: (form.commonHeaders(of) + form.ownHeaders(of)).split('\r\n'), body: Buffer.from(form.body(of)) };
}

describe('an event as a CloudEvent', () => {
  test('is one JSON object in the structured form', () => {
    const whole = {
      ...{ ...common, ...own, actor: event.actor, ...trace },
      ...{ datacontenttype: 'application/json', data },
    };
    expect(structuredEvent(event, 'dstc')).toEqual(whole);
    const { headers, body } = written(event, 'structured');
    expect(headers).toEqual(['content-type: application/cloudevents+json; charset=utf-8']);
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
      const { headers, body } = written(event, format);
      const actor = 'user:J%C3%BCrgen%20%22%25%22%0D%0Ace-id:%20forged';
      const attributes = Object.entries({ ...common, ...own, actor, ...trace });
      expect(headers).toEqual([
        `content-type: ${contentType}`,
        ...attributes.map(([name, value]) => `ce-${name}: ${value}`),
      ]);
      expect(read(body)).toEqual(data);
    },
  );

  test('leaves out what is empty', () => {
    const bare: StoredEvent = {
      ...{ of: 'system', id, kind: 'policy.changed', namespace: '', subject: 'policy', actor: '', data: {} },
      position: event.position,
    };
    for (const format of cloudEventFormats) {
      const { headers, body } = written(bare, format);
      expect(headers.join()).not.toMatch(/ce-(namespace|tasktype|actor|traceparent)/);
      expect(String(body)).not.toMatch(/namespace|tasktype|actor|traceparent/);
    }
  });
});
