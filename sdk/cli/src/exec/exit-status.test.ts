import { expect, test } from 'vitest';
import { type ProgramEnd, parseStatuses, transientStatusesDefault, verdictOf } from './exit-status.ts';

const byDefault = parseStatuses(transientStatusesDefault);

const table: readonly (readonly [ProgramEnd, string, string | undefined])[] = [
  [{ kind: 'exited', status: 0 }, 'success', undefined],
  [{ kind: 'exited', status: 75 }, 'transient', 'EXIT_75'],
  [{ kind: 'exited', status: 1 }, 'permanent', 'EXIT_1'],
  [{ kind: 'exited', status: 65 }, 'permanent', 'EXIT_65'],
  [{ kind: 'exited', status: 127 }, 'permanent', 'EXIT_127'],
  [{ kind: 'killed', signal: 'SIGKILL' }, 'transient', 'SIGKILL'],
  [{ kind: 'timed-out', afterMs: 1_500 }, 'transient', 'TIMED_OUT'],
];

test.each(table)('takes %o as %s', (end, kind, code) => {
  const verdict = verdictOf(end, byDefault);
  expect(verdict.kind).toBe(kind);
  expect('code' in verdict ? verdict.code : undefined).toBe(code);
});

test('takes the statuses that the user names as transient', () => {
  const statuses = parseStatuses('1, 64-66');
  expect([...statuses]).toEqual([1, 64, 65, 66]);
  expect(verdictOf({ kind: 'exited', status: 1 }, statuses).kind).toBe('transient');
  expect(verdictOf({ kind: 'exited', status: 75 }, statuses).kind).toBe('permanent');
});

test.each(['', 'x', '0', '256', '5-1', '1,,2', '-1'])('refuses "%s" as a list of statuses', (written) => {
  expect(() => parseStatuses(written)).toThrow(/is no list of exit statuses/);
});
