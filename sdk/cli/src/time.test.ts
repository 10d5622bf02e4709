import { expect, test } from 'vitest';
import { parseTime } from './time.ts';

const now = new Date('2030-02-01T00:00:00Z');

test.each([
  ['2030-01-31T12:00:00Z', '2030-01-31T12:00:00.000Z'],
  ['2030-01-31', '2030-01-31T00:00:00.000Z'],
  ['2028-02-29', '2028-02-29T00:00:00.000Z'],
  ['2030-01-31T00:30:00+02:00', '2030-01-30T22:30:00.000Z'],
  ['90m', '2030-01-31T22:30:00.000Z'],
])('reads the time %s', (written, time) => {
  expect(parseTime(written, now).toISOString()).toBe(time);
});

test.each(['', 'yesterday', '2030-13-01', '2030-02-30', '2030-02-29T12:00:00Z', '2030-04-31T00:00:00+02:00', '5'])(
  'does not take %j for a time',
  (written) => {
    expect(() => parseTime(written, now)).toThrow();
  },
);
