import { DstcError } from '@dstc/sdk';
import { expect, test } from 'vitest';
import { errorText } from './error-text.ts';

test('says what went wrong, why, and what to do', () => {
  const error = new DstcError({ reason: 'TOKEN_INVALID', code: 'UNAUTHENTICATED', message: 'the token has expired' });
  expect(errorText(error)).toBe('the token has expired (TOKEN_INVALID); log in again with dstc login');
});

test('lists the fields that broke a rule', () => {
  const error = new DstcError({
    reason: 'INPUT_INVALID',
    code: 'INVALID_ARGUMENT',
    message: 'the input does not match the schema',
    violations: [{ field: 'input.number', description: 'must be a string' }],
  });
  expect(errorText(error)).toBe(
    'the input does not match the schema (INPUT_INVALID)\n  input.number: must be a string',
  );
});

test('names the file that is not there', () => {
  const error = Object.assign(new Error('ENOENT: no such file or directory'), { code: 'ENOENT', path: 'x.yaml' });
  expect(errorText(error)).toBe('there is no file x.yaml');
});

test('keeps foreign messages to one line', () => {
  expect(errorText(new Error('first\nsecond'))).toBe('first');
  expect(errorText('text')).toBe('text');
});
