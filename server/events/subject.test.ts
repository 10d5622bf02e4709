import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { subjectOf } from './subject.ts';

const type = 'dstc.task.succeeded.v1';

describe('the subject of an event', () => {
  test.each([
    ['of a task', { namespace: 'shop', type, taskType: 'email.send' }, 'dstc.shop.task.email.send.succeeded'],
    [
      'of a type',
      { namespace: 'shop', type: 'dstc.task_type.applied.v1', taskType: 'x' },
      'dstc.shop.task_type.x.applied',
    ],
    [
      'of no type',
      { namespace: 'shop', type: 'dstc.namespace.paused.v1', taskType: '' },
      'dstc.shop.namespace._.paused',
    ],
    ['of no namespace', { namespace: '', type: 'dstc.policy.changed.v1', taskType: '' }, 'dstc._.policy._.changed'],
  ])('%s has the parts of its name as tokens', (_, event, subject) => {
    expect(subjectOf('dstc', event)).toBe(subject);
  });

  test('has only plain tokens, whatever names come, and never one subject for two of them', () => {
    const name = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom('*', '>', '.', '..', 'a.*', '>.a', '\r\n', ' ', '%', '%2A', 'é', '_', '$JS.API.>', '\u0000'),
    );
    fc.assert(
      fc.property(name, name, name, name, (namespace, taskType, otherNamespace, otherType) => {
        const one = subjectOf('dstc', { namespace, type, taskType });
        const other = subjectOf('dstc', { namespace: otherNamespace, type, taskType: otherType });
        for (const token of one.split('.')) expect(token).toMatch(/^[A-Za-z0-9_%-]+$/);
        // A lone surrogate has no UTF-8 of its own; Postgres and protobuf take none.
        const isSame = [namespace, taskType].every(
          (part, index) => part.toWellFormed() === [otherNamespace, otherType][index]?.toWellFormed(),
        );
        const isNone = [taskType, otherType].includes('') && [taskType, otherType].includes('_');
        const isNowhere = [namespace, otherNamespace].includes('') && [namespace, otherNamespace].includes('_');
        if (!isSame && !isNone && !isNowhere) expect(one).not.toBe(other);
      }),
    );
  });

  test('of a type that begins like another one is not found under the other one', () => {
    const subject = (taskType: string) => subjectOf('dstc', { namespace: 'shop', type, taskType });
    expect(subject('email').split('.')).toHaveLength(5);
    expect(subject('email.send').split('.')).toHaveLength(6);
  });
});
