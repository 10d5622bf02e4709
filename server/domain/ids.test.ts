import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { isSameFence, parseLeaseId, parseSessionId, parseTaskId } from './ids.ts';

describe('an id', () => {
  test('is a UUID in small letters, however it was written', () => {
    const id = randomUUID();
    for (const parse of [parseTaskId, parseLeaseId, parseSessionId]) expect(parse(id.toUpperCase())).toBe(id);
  });

  test.each([
    ['nothing', ''],
    ['a name', 'task'],
    ['one digit less', randomUUID().slice(1)],
    ['one digit more', `${randomUUID()}0`],
    ['no dashes', randomUUID().replaceAll('-', '')],
    ['SQL behind it', `${randomUUID()}' OR true`],
    ['a line break', `${randomUUID()}\n`],
  ])('is not %s', (_, text) => {
    expect(() => parseTaskId(text)).toThrow(TypeError);
  });

  test('that is wrong is not repeated at full length', () => {
    expect(() => parseTaskId('x'.repeat(10_000))).toThrow(/^not a UUID: .{0,70}$/);
  });
});

test('a fence is the same only when task, attempt and lease are', () => {
  const fence = { taskId: parseTaskId(randomUUID()), attempt: 1, leaseId: parseLeaseId(randomUUID()) };
  expect(isSameFence(fence, { ...fence })).toBe(true);
  expect(isSameFence(fence, { ...fence, attempt: 2 })).toBe(false);
  expect(isSameFence(fence, { ...fence, taskId: parseTaskId(randomUUID()) })).toBe(false);
  expect(isSameFence(fence, { ...fence, leaseId: parseLeaseId(randomUUID()) })).toBe(false);
});
