import type { DstcEvent } from '@dstc/sdk';
import picocolors from 'picocolors';
import { expect, test } from 'vitest';
import { eventText } from './event-text.ts';
import { shown } from './shown.ts';

const base = {
  ...{ id: 'x', source: '/cells/dstc', namespace: 'default', sequence: 1, actor: 'ann@id.example', traceParent: '' },
  ...{ time: new Date('2030-01-31T12:00:00.123Z'), cursor: 'c' },
};
const task = { id: 't-1', type: 'email.send', state: 'PENDING' as const, attempt: 2, labels: {} };
const ofTask = { ...base, subject: 't-1', taskType: 'email.send' };

test.each<[DstcEvent, string]>([
  [
    {
      ...{ ...ofTask, type: 'dstc.task.retry_scheduled.v1', kind: 'task.retry_scheduled' },
      data: {
        ...{ task, lease: undefined, reason: '', retryDelayMs: 1_500 },
        error: { code: 'TIMEOUT', message: 'no answer\nwithin\u001b[2J 5 s', kind: 'TRANSIENT' },
      },
    },
    '2030-01-31T12:00:00.123Z  task.retry_scheduled  email.send  t-1  ann@id.example  attempt 2, TIMEOUT: no answer within\\u001b[2J 5 s, again in 1.5s',
  ],
  [
    { ...ofTask, type: 'dstc.task.submitted.v1', kind: 'task.submitted', data: { task: { ...task, attempt: 0 } } },
    '2030-01-31T12:00:00.123Z  task.submitted        email.send  t-1  ann@id.example',
  ],
  [
    {
      ...{
        ...base,
        type: 'dstc.circuit.opened.v1',
        kind: 'circuit.opened',
        subject: 'email.send',
        taskType: 'email.send',
      },
      data: { reason: 'half of 20 failed', forced: false },
    },
    '2030-01-31T12:00:00.123Z  circuit.opened        email.send  ann@id.example  half of 20 failed',
  ],
  [
    {
      ...{
        ...base,
        type: 'dstc.worker_session.started.v1',
        kind: 'worker_session.started',
        subject: 's-1',
        taskType: '',
      },
      data: { taskTypes: { 'email.send': 3 }, labels: {}, node: 'node-1' },
    },
    '2030-01-31T12:00:00.123Z  worker_session.started  s-1  ann@id.example  email.send ×3, on node-1',
  ],
  [
    { ...base, type: 'dstc.run.started.v1', kind: 'unknown', subject: 'r-1', taskType: '', data: undefined },
    '2030-01-31T12:00:00.123Z  dstc.run.started.v1   r-1  ann@id.example',
  ],
])('says in one line what has happened', (event, text) => {
  expect(shown(eventText(picocolors.createColors(false), event))).toBe(text);
});
