import { expect, test } from 'vitest';
import { parseEventType } from './event-type.ts';

test.each([
  ['task.failed', 'dstc.task.failed.v1'],
  ['dstc.task.failed', 'dstc.task.failed.v1'],
  ['dstc.task.failed.v1', 'dstc.task.failed.v1'],
  ['task.failed.v2', 'dstc.task.failed.v2'],
  ['task.*', 'dstc.task.*'],
  ['worker_session.*', 'dstc.worker_session.*'],
  ['*', '*'],
])('reads %s as %s', (written, type) => {
  expect(parseEventType(written)).toBe(type);
});
