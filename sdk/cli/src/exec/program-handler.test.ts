import { PermanentError, RetryableError } from '@dstc/sdk';
import { expect, test } from 'vitest';
import type { ProgramEnd } from './exit-status.ts';
import { outputOf, progressOf } from './program-handler.ts';

const options = { transientStatuses: new Set([75]), contentType: undefined };

function run(end: ProgramEnd, stdout = '', stderrTail = '') {
  return { end, stdout: Buffer.from(stdout), stdoutOverflowed: false, stderrTail };
}

const ended = (status: number): ProgramEnd => ({ kind: 'exited', status });

test('takes what a program prints as JSON, to the letter', () => {
  const output = outputOf(run(ended(0), '{"id": 12345678901234567890}\n'), options);
  expect(output).toEqual({ data: Buffer.from('{"id": 12345678901234567890}'), contentType: 'application/json' });
});

test('takes no output as null', () => {
  expect(outputOf(run(ended(0), '\n'), options)).toBeNull();
});

test('takes other media types as they are', () => {
  const output = outputOf(run(ended(0), 'a,b\n'), { ...options, contentType: 'text/csv' });
  expect(output).toEqual({ data: Buffer.from('a,b\n'), contentType: 'text/csv' });
});

test('fails for good when a program says that all is well and prints no JSON', () => {
  expect(() => outputOf(run(ended(0), 'secret'), options)).toThrow(PermanentError);
  expect(() => outputOf(run(ended(0), 'secret'), options)).not.toThrow(/secret/);
});

test('fails for good when a program prints JSON that is not in UTF-8', () => {
  const latin1 = { ...run(ended(0)), stdout: Buffer.from('{"name":"\xff"}', 'latin1') };
  expect(() => outputOf(latin1, options)).toThrow(PermanentError);
});

test('puts the last lines of stderr into the error', () => {
  expect(() => outputOf(run(ended(75), '', 'no route to host'), options)).toThrow(
    new RetryableError('EXIT_75', 'exit status 75: no route to host'),
  );
  expect(() => outputOf(run(ended(65), '', ''), options)).toThrow(new PermanentError('EXIT_65', 'exit status 65'));
});

test.each([
  ['reading', { message: 'reading' }],
  ['40% resizing', { percent: 40, message: 'resizing' }],
  ['99.5 %', { percent: 99.5, message: '' }],
  ['400% more', { message: '400% more' }],
])('takes the line "%s" as progress', (line, progress) => {
  expect(progressOf(line)).toEqual(progress);
});
