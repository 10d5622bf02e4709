import { toBinary } from '@bufbuild/protobuf';
import { FailureKind, TaskErrorSchema } from '@dstc/contract/dstc/v1/task_pb';
import { expect, test } from 'vitest';
import { FatalError, InterruptedError, PermanentError, RetryableError } from './handler-errors.ts';
import { failedBy, succeeded } from './report.ts';

test.each([
  [new PermanentError('BAD_NUMBER', 'no'), { code: 'BAD_NUMBER', message: 'no', kind: FailureKind.PERMANENT }],
  [new FatalError('NO_LICENCE', 'no'), { code: 'NO_LICENCE', message: 'no', kind: FailureKind.FATAL }],
  [new RetryableError('BUSY', 'no'), { code: 'BUSY', message: 'no', kind: FailureKind.TRANSIENT }],
  [new TypeError('x is undefined'), { code: 'HANDLER_ERROR', message: 'x is undefined', kind: FailureKind.TRANSIENT }],
  ['text', { code: 'HANDLER_ERROR', message: 'text', kind: FailureKind.TRANSIENT }],
  [undefined, { code: 'HANDLER_ERROR', message: 'a undefined was thrown', kind: FailureKind.TRANSIENT }],
])('reports what a handler threw: %s', (thrown, error) => {
  expect(failedBy(thrown, undefined)).toMatchObject({ kind: 'failed', error });
});

/** What JavaScript lets through, and a careless cast. */
const oddly = <T>(value: unknown): T => value as T;
const unreadable = (name: string): Error =>
  Object.defineProperty(new PermanentError('BAD', 'no'), name, {
    get() {
      throw new Error('not for you');
    },
  });
const untouchable = new Proxy(new Error('no'), {
  getPrototypeOf() {
    throw new Error('not for you');
  },
});

test.each([
  ['a code that is a number', new PermanentError(oddly(404), 'no'), { code: '404', message: 'no' }],
  ['no code', new PermanentError(oddly(undefined), 'no'), { code: '', message: 'no' }],
  [
    'a message that is an object',
    Object.assign(new Error(), { message: { detail: 1 } }),
    { message: '[object Object]' },
  ],
  ['no message', Object.assign(new Error(), { message: undefined }), { message: '' }],
  ['a message that no string can be made of', Object.assign(new Error(), { message: Object.create(null) }), {}],
  ['a message that throws', unreadable('message'), { code: 'BAD' }],
  ['a code that throws', unreadable('code'), { message: 'no' }],
  ['a kind that there is not', Object.assign(new PermanentError('BAD', 'no'), { kind: 'odd' }), { code: 'BAD' }],
  ['an error that cannot even be looked at', untouchable, { code: 'HANDLER_ERROR' }],
])('reports what a handler threw with %s', (_, thrown, error) => {
  const report = failedBy(thrown, undefined);
  expect(report).toMatchObject({ kind: 'failed', error });
  if (report.kind === 'failed') toBinary(TaskErrorSchema, report.error);
});

test.each([
  [1_500.4, 1_500],
  ['soon' as never, undefined],
  [-5, 0],
  [Number.POSITIVE_INFINITY, 604_800_000],
  [Number.NaN, undefined],
])('bounds a wait of %s ms', (retryAfterMs, expected) => {
  expect(failedBy(new RetryableError('BUSY', 'no', { retryAfterMs }), undefined)).toMatchObject({
    retryAfterMs: expected,
  });
});

test('makes codes and messages fit the contract', () => {
  const report = failedBy(new PermanentError(`a b${'x'.repeat(200)}`, `\0${'é'.repeat(8_000)}`), undefined);
  if (report.kind !== 'failed') throw new Error(`it is ${report.kind}`);
  expect(report.error.code).toMatch(/^a_bx{125}$/);
  expect(report.error.message).toBe('é'.repeat(4_096));
});

test.each([
  ['CANCELLED', { kind: 'cancelAcknowledged' }],
  ['SHUTDOWN', { kind: 'released', reason: 'why' }],
  ['RUN_TIMEOUT', { kind: 'failed' }],
] as const)('reports an error after %s as what caused it', (cause, expected) => {
  expect(failedBy(new Error('aborted'), new InterruptedError(cause, 'why'))).toMatchObject(expected);
});

test('fails a task whose output no coordinator would take', () => {
  expect(succeeded('x'.repeat(100), 50)).toMatchObject({
    kind: 'failed',
    error: {
      code: 'OUTPUT_INVALID',
      kind: FailureKind.PERMANENT,
      message: 'the output has 102 bytes; the limit is 50',
    },
  });
  expect(succeeded('x', 50)).toMatchObject({ kind: 'succeeded' });
});

test.each(['text', 'text/', 'a/b; c', `text/${'x'.repeat(130)}`])(
  'fails a task whose output is of the type %s',
  (contentType) => {
    expect(succeeded({ data: Buffer.from('x'), contentType }, 50)).toMatchObject({
      kind: 'failed',
      error: {
        code: 'OUTPUT_INVALID',
        kind: FailureKind.PERMANENT,
        message: 'the content type of the output is no media type',
      },
    });
  },
);
