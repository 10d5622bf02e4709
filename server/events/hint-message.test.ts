import { expect, test } from 'vitest';
import { decodeHint, encodeHint, type HintMessage, hintItemsMax } from './hint-message.ts';

const nothing: HintMessage = {
  ...{ due: [], opened: [], changed: [], ended: [], sessions: [] },
  ...{ hasEvents: false, followsTasks: false },
};

test('a hint arrives as it was given', () => {
  const hint: HintMessage = {
    due: [{ namespace: 'shop', type: 'email.send', inMs: 5 }],
    opened: ['shop'],
    changed: ['one'],
    ended: ['two'],
    sessions: ['three'],
    hasEvents: true,
    followsTasks: true,
  };
  expect(decodeHint(encodeHint(hint))).toEqual(hint);
});

test('one that would be too large still says that there are events', () => {
  const due = Array.from({ length: hintItemsMax }, () => ({
    namespace: 'n'.repeat(63),
    type: 't'.repeat(200),
    inMs: 0,
  }));
  const hint = { ...nothing, due, hasEvents: true, followsTasks: true };
  expect(decodeHint(encodeHint(hint))).toEqual({ ...nothing, hasEvents: true, followsTasks: true });
});
