import { create, type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { anyPack, durationFromMs } from '@bufbuild/protobuf/wkt';
import { ErrorReason } from '@dstc/contract/dstc/v1/error_pb';
import { CallErrorSchema } from '@dstc/contract/dstc/v1/task_service_pb';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '@dstc/contract/google/rpc/error_details_pb';
import { StatusSchema } from '@dstc/contract/google/rpc/status_pb';
import { Metadata, status } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { errorOf, errorOfItem } from './error-details.ts';
import { DstcError, isReason } from './errors.ts';

function thrown(code: status, details: string, bytes?: Uint8Array): Error {
  const metadata = new Metadata();
  if (bytes !== undefined) metadata.set('grpc-status-details-bin', Buffer.from(bytes));
  return Object.assign(new Error(`${code} ${details}`), { code, details, metadata });
}

function pack<D extends DescMessage>(schema: D, message: MessageShape<D>) {
  return anyPack(schema, message);
}

test('reads the reason, the metadata, the violations and the retry delay', () => {
  const details = [
    pack(
      ErrorInfoSchema,
      create(ErrorInfoSchema, { domain: 'dstc', reason: 'INPUT_INVALID', metadata: { limit: '9' } }),
    ),
    pack(
      BadRequestSchema,
      create(BadRequestSchema, { fieldViolations: [{ field: 'input.a', description: 'is missing' }] }),
    ),
    pack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: durationFromMs(1_500) })),
  ];
  const bytes = toBinary(StatusSchema, create(StatusSchema, { code: 3, message: 'wrong', details }));
  const error = errorOf(thrown(status.INVALID_ARGUMENT, 'wrong', bytes));
  expect(error).toBeInstanceOf(DstcError);
  expect(error).toMatchObject({
    reason: 'INPUT_INVALID',
    code: 'INVALID_ARGUMENT',
    message: 'wrong',
    metadata: { limit: '9' },
    violations: [{ field: 'input.a', description: 'is missing' }],
    retryDelayMs: 1_500,
  });
  expect(isReason(error, 'INPUT_INVALID')).toBe(true);
  expect(isReason(error, 'TASK_NOT_FOUND')).toBe(false);
});

test.each([
  ['another domain', 'example.com', 'TASK_NOT_FOUND'],
  ['a reason of a newer coordinator', 'dstc', 'MOON_PHASE_WRONG'],
  ['a name of Object.prototype', 'dstc', 'constructor'],
  ['the number of a reason', 'dstc', '7'],
])('takes %s as UNKNOWN', (_, domain, reason) => {
  const details = [pack(ErrorInfoSchema, create(ErrorInfoSchema, { domain, reason }))];
  const bytes = toBinary(StatusSchema, create(StatusSchema, { details }));
  expect(errorOf(thrown(status.NOT_FOUND, 'no', bytes))).toMatchObject({ reason: 'UNKNOWN', code: 'NOT_FOUND' });
});

test.each([
  [status.UNAVAILABLE, 'UNREACHABLE', 'UNAVAILABLE'],
  [status.DEADLINE_EXCEEDED, 'DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED'],
  [status.CANCELLED, 'CALL_CANCELLED', 'CANCELLED'],
  [status.DATA_LOSS, 'UNKNOWN', 'DATA_LOSS'],
])('gives status %i without details the reason %s', (code, reason, name) => {
  expect(errorOf(thrown(code, 'x'))).toMatchObject({ reason, code: name });
});

test('takes a connection that broke for a coordinator that cannot be reached, whatever grpc-js calls it', () => {
  const details = 'Received RST_STREAM with code 2 triggered by internal client error: write EPIPE';
  expect(errorOf(thrown(status.INTERNAL, details))).toMatchObject({ reason: 'UNREACHABLE', code: 'UNAVAILABLE' });
});

test('lives with details that are none', () => {
  const error = errorOf(thrown(status.INTERNAL, 'broken', Uint8Array.of(0xff, 0xff, 0xff)));
  expect(error).toMatchObject({ reason: 'UNKNOWN', code: 'INTERNAL', message: 'broken' });
});

test('leaves errors alone that are not of gRPC', () => {
  const error = new Error('mine');
  expect(errorOf(error)).toBe(error);
});

test('reads the error of one item of a batch', () => {
  const item = create(CallErrorSchema, {
    code: status.NOT_FOUND,
    reason: ErrorReason.TASK_TYPE_NOT_FOUND,
    message: 'there is no task type x',
    metadata: { task_type: 'x' },
  });
  expect(errorOfItem(item)).toMatchObject({
    reason: 'TASK_TYPE_NOT_FOUND',
    code: 'NOT_FOUND',
    message: 'there is no task type x',
    metadata: { task_type: 'x' },
  });
});
