import { expect, test } from 'vitest';
import { checkLogs } from './check-logs.ts';
import { isBroken, isVoid } from './property.ts';

const line = (level: number, more: object) => JSON.stringify({ level, time: 1, node: 'node-1', ...more });
const well = {
  coordinators: `${line(30, { msg: 'ready' })}\n${line(40, { msg: 'a turn failed', err: { message: 'away' } })}\n`,
  postgres: '2026-11-28 16:00:00.000 UTC [1] LOG:  starting\n2026-11-28 16:00:00.001 UTC [1] LOG:  ready\n',
};

test('warnings are what faults lead to', () => {
  const properties = checkLogs(well);
  expect(properties.filter((property) => isBroken(property) || isVoid(property))).toEqual([]);
});

test('logs with nothing in them say nothing', () => {
  expect(checkLogs({ coordinators: '', postgres: '' }).every(isVoid)).toBe(true);
});

test('an error is a surprise, and so is what is no line of the log', () => {
  const stack = 'Error\n    at emit (node:events:1:1)\n    at send (file:///dstc/server/events/send.ts:1:1)';
  const coordinators = [
    line(50, { msg: 'a delivery failed', err: { type: 'Stale', message: '', stack } }),
    line(50, { msg: 'a call failed', fault: { name: 'RangeError' } }),
    'Warning: Detected unsettled top-level await',
  ].join('\n');
  const [surprises] = checkLogs({ ...well, coordinators });
  expect(surprises?.violations.map(({ text }) => text)).toEqual([
    'node-1: a delivery failed: Stale     at send (file:///dstc/server/events/send.ts:1:1)',
    'node-1: a call failed: {"name":"RangeError"}',
    'Warning: Detected unsettled top-level await',
  ]);
});

test('a deadlock is told with what waited for what', () => {
  const postgres = `${well.postgres}2026-11-28 16:00:01.000 UTC [7] ERROR:  deadlock detected
2026-11-28 16:00:01.000 UTC [7] DETAIL:  Process 7 waits for ShareLock on transaction 1; blocked by process 8.
	Process 8 waits for ShareLock on transaction 2; blocked by process 7.
	Process 7: 
	    UPDATE task SET paused_time = now()
	Process 8: 
	    SELECT id FROM webhook
	    ORDER BY id FOR NO KEY UPDATE
2026-11-28 16:00:01.000 UTC [7] HINT:  See server log for query details.
`;
  const [, deadlocks] = checkLogs({ ...well, postgres });
  expect(deadlocks?.violations).toEqual([
    {
      text:
        '2026-11-28 16:00:01.000 UTC [7] DETAIL:  Process 7 waits for ShareLock on transaction 1; blocked by process 8.; ' +
        'Process 8 waits for ShareLock on transaction 2; blocked by process 7.; UPDATE task SET paused_time = now(); ' +
        'ORDER BY id FOR NO KEY UPDATE',
    },
  ]);
});
