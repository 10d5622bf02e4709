import { toJson } from '@bufbuild/protobuf';
import { EventSchema } from '@dstc/contract/dstc/v1/event_pb';
import { expect, test } from 'vitest';
import { eventKinds } from '../../domain/lifecycle.ts';
import { systemEventKinds } from '../../domain/system-event.ts';
import type { StoredSystemEvent, StoredTaskEvent } from '../../store/select-events.ts';
import { toEvent } from './event.ts';

const id = '01890a5d-ac96-774b-bcce-b302099a8057';
const base = {
  position: { order: '7', subjectId: id, sequence: 3, timeMs: 1_700_000_000_123 },
  namespace: 'default',
  actor: 'ada',
};

test.each(eventKinds)('a task that is %s is told with the task, and with what there is to the kind', (kind) => {
  const event: StoredTaskEvent = {
    ...base,
    ...{ of: 'task', kind, type: 'email.send', state: 'RUNNING', attempt: 2, labels: { team: 'a' } },
    ...{ leaseId: id, sessionId: id, error: { code: 'TIMEOUT', message: 'late', kind: 'TRANSIENT' }, reason: 'why' },
    ...{ retryDelayMs: 1_500, traceParent: null },
  };
  const message = toEvent(event, 'dstc');
  expect(message).toMatchObject({ id: `${id}:3`, type: `dstc.task.${kind}.v1`, subject: id, taskType: 'email.send' });
  expect(message.data.case?.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)).toBe(`task_${kind}`);
  expect(message.data.value).toMatchObject({ task: { id, type: 'email.send', attempt: 2, labels: { team: 'a' } } });
  if (kind === 'failed') {
    expect(toJson(EventSchema, message)).toMatchObject({
      time: '2023-11-14T22:13:20.123Z',
      taskFailed: { error: { code: 'TIMEOUT' }, reason: 'why', lease: { id, sessionId: id } },
    });
  }
});

test.each(systemEventKinds)('%s is told with its subject', (kind) => {
  const data = {
    reason: 'why',
    etag: 'e',
    isForced: true,
    deadline: '2030-01-01T00:00:00.000Z',
    node: 'n',
    digest: 'd',
  };
  const event: StoredSystemEvent = { ...base, of: 'system', id, kind, subject: 'email.send', data };
  const message = toEvent(event, 'dstc');
  expect(message).toMatchObject({ id, type: `dstc.${kind}.v1`, subject: 'email.send', source: '/cells/dstc' });
  expect(message.data.case?.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)).toBe(kind.replace('.', '_'));
  const isOfType = kind.startsWith('task_type.') || kind.startsWith('circuit.');
  expect(message.taskType).toBe(isOfType ? 'email.send' : '');
});
