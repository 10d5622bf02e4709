import type { Task } from '@dstc/sdk';
import picocolors from 'picocolors';
import { expect, test } from 'vitest';
import { shown } from './shown.ts';
import { historyText, tasksText, taskText } from './task-text.ts';

const plain = picocolors.createColors(false);
const now = new Date('2030-01-01T00:01:00Z');
const task: Task = {
  id: '01890a5d-ac96-774b-bcce-b302099a8057',
  namespace: 'default',
  type: 'checknumber',
  state: 'SUCCEEDED',
  priority: 4,
  labels: { team: 'a' },
  input: { number: '1' },
  output: { data: Buffer.from('xyz'), contentType: 'image/png' },
  error: undefined,
  attempt: 2,
  attemptsMax: 10,
  createTime: new Date('2030-01-01T00:00:00Z'),
  availableTime: new Date('2030-01-01T00:00:00Z'),
  startedTime: new Date('2030-01-01T00:00:57Z'),
  finishedTime: undefined,
  idempotencyKey: '',
  progress: undefined,
  cancelRequested: false,
  eventSequence: 5,
  limitKey: '',
  creator: 'producer',
  paused: false,
  errorFingerprint: '',
  discarded: false,
  dependencies: [],
};
const error = { code: 'EXIT_75', message: 'no\nroute', kind: 'TRANSIENT' } as const;

test('shows one task with its payloads, a line for each thing that is known', () => {
  expect(shown(taskText(plain, task, now))).toBe(`id         01890a5d-ac96-774b-bcce-b302099a8057
type       checknumber
state      SUCCEEDED
attempt    2 of 10
priority   4
labels     team=a
submitted  2030-01-01T00:00:00.000Z (1m ago) by producer
started    2030-01-01T00:00:57.000Z (3s ago)
input      {"number":"1"}
output     3 bytes of image/png`);
});

test('shows when a delayed task is due', () => {
  const delayed = { ...task, availableTime: new Date('2030-01-01T01:01:00Z') };
  expect(shown(taskText(plain, delayed, now))).toContain('available  2030-01-01T01:01:00.000Z (in 1h)');
});

test('shows what is to be known beside the state', () => {
  expect(shown(taskText(plain, { ...task, state: 'RUNNING', cancelRequested: true, paused: true }, now))).toMatch(
    /^state +RUNNING \(asked to stop, paused\)$/m,
  );
  const discarded = { ...task, state: 'FAILED', discarded: true, errorFingerprint: '0123456789abcdef' } as const;
  expect(shown(taskText(plain, discarded, now))).toMatch(/^state +FAILED \(discarded\)$/m);
  expect(shown(taskText(plain, discarded, now))).toMatch(/^cause +0123456789abcdef$/m);
  expect(shown(tasksText(plain, [{ ...task, state: 'PENDING', paused: true }], now))).toMatch(/ PENDING \(paused\) /);
});

test('shows what a task depends on and what it waits for', () => {
  const { id: taskId } = task;
  const blocked: Task = {
    ...task,
    state: 'BLOCKED',
    dependencies: [
      { taskId, type: 'fetch', state: 'SUCCEEDED', onFailure: 'cancel', waiting: false },
      { taskId, type: 'parse', state: 'RUNNING', onFailure: 'continue', waiting: true },
      { taskId, type: '', state: 'UNSPECIFIED', onFailure: 'block', waiting: true },
    ],
  };
  expect(
    shown(taskText(plain, blocked, now))
      .split('\n')
      .slice(-5, -2),
  ).toEqual([
    `depends on  ${taskId} fetch SUCCEEDED`,
    `waits for   ${taskId} parse RUNNING, goes on if it fails`,
    `waits for   ${taskId}, stays blocked if it fails`,
  ]);
});

test('shows tasks one a line with whole ids and the last failure', () => {
  const failed: Task = { ...task, state: 'FAILED', error };
  const running: Task = { ...task, state: 'RUNNING', progress: { percent: 40.2, message: 'resizing' } };
  expect(shown(tasksText(plain, [failed, running], now)).split('\n')).toEqual([
    'ID                                    TYPE         STATE    ATTEMPT  AGE  NOTE',
    '01890a5d-ac96-774b-bcce-b302099a8057  checknumber  FAILED   2        1m   EXIT_75: no route',
    '01890a5d-ac96-774b-bcce-b302099a8057  checknumber  RUNNING  2        1m   40% resizing',
  ]);
});

test('shows a history with errors, reasons and waits', () => {
  const event = { taskId: task.id, time: now, actor: 'worker', leaseId: '', sessionId: '', attempt: 1, reason: '' };
  const text = shown(
    historyText(plain, [
      { ...event, sequence: 3, kind: 'RETRY_SCHEDULED', state: 'PENDING', error, retryDelayMs: 1_200 },
      {
        ...event,
        sequence: 4,
        kind: 'CANCELLED',
        state: 'CANCELLED',
        error: undefined,
        retryDelayMs: undefined,
        reason: 'no need',
      },
    ]),
  );
  expect(text.split('\n').slice(1)).toEqual([
    '3  2030-01-01T00:01:00.000Z  RETRY_SCHEDULED  PENDING    1        worker  EXIT_75: no route, again in 1.2s',
    '4  2030-01-01T00:01:00.000Z  CANCELLED        CANCELLED  1        worker  no need',
  ]);
});
