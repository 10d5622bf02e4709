import type { DescMessage, DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf';
import { NamespaceService } from '@dstc/contract/dstc/v1/namespace_service_pb';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { badCall, badSubmission, controlMethods, type Expected, fieldInvalid, noTask } from './bad-call.ts';

const { submitTask, listTasks, cancelTasks, redriveTasks } = TaskService.method;
const { applyTaskType, listTaskTypes, pauseTaskType, resumeTaskType } = TaskTypeService.method;
const { pauseNamespace, resumeNamespace } = NamespaceService.method;
const { listWorkers } = WorkerService.method;

const pageTokenInvalid: Expected = { code: 'InvalidArgument', reason: 'PAGE_TOKEN_INVALID', fields: ['page_token'] };

export const texts = [
  badSubmission('a control character in its key', { idempotencyKey: 'a\u0000b' }, 'idempotency_key'),
  badSubmission('an umlaut in its key', { idempotencyKey: 'ä' }, 'idempotency_key'),
  badSubmission('a key of 257 characters', { idempotencyKey: 'x'.repeat(257) }, 'idempotency_key'),
  badSubmission('a type of content that is none', { input: { contentType: 'text' } }, 'input.content_type'),
  badSubmission(
    'a line break in the type of content',
    { input: { contentType: 'text/plain\r\nx: y' } },
    'input.content_type',
  ),
  badSubmission(
    'JSON that is said to be text',
    {
      input: {
        value: { case: 'json', value: { kind: { case: 'boolValue', value: true } } },
        contentType: 'text/plain',
      },
    },
    'input.content_type',
  ),
  badCall({
    title: 'a submission with a number that JSON cannot hold',
    method: submitTask,
    request: {
      type: 'a.plain',
      input: { value: { case: 'json', value: { kind: { case: 'numberValue', value: Number.NaN } } } },
    },
    body: '{"type":"a.plain","input":{"json":1e999}}',
    bodyFields: ['input.json'],
    expected: fieldInvalid('input.json'),
  }),
  badSubmission('both a delay and a time', { delay: { seconds: 1n }, availableTime: { seconds: 1n } }, ''),
  ...controlMethods.flatMap((method) =>
    (
      [
        ['NUL in its reason', 'a\u0000b'],
        ['a reason over 1 KiB', 'ä'.repeat(513)],
      ] as const
    ).map(([title, reason]) =>
      badCall({
        title: `${method.name} with ${title}`,
        method,
        request: { id: noTask, reason },
        expected: fieldInvalid('reason'),
      }),
    ),
  ),
  ...['a\u0000b', 'ä'.repeat(513)].flatMap((reason) => [
    badReason(pauseTaskType, { name: 'a.plain', reason }),
    badReason(resumeTaskType, { name: 'a.plain', reason }),
    badReason(pauseNamespace, { reason }),
    badReason(resumeNamespace, { reason }),
  ]),
  badCall({
    title: 'a task type with NUL in its description',
    method: applyTaskType,
    request: { taskType: { name: 'a.bad', description: 'a\u0000b' } },
    expected: fieldInvalid('task_type.description'),
  }),
];

function badReason<I extends DescMessage>(
  method: DescMethodUnary<I, DescMessage>,
  request: MessageInitShape<I> & { readonly reason: string },
) {
  const title = `${method.name} with the reason ${JSON.stringify(request.reason.slice(0, 8))}`;
  return badCall({ title, method, request, expected: fieldInvalid('reason') });
}

export const pageTokens = [
  'x',
  'AAAA',
  '%%%',
  "' OR 1=1 --",
  'a\u0000b',
  Buffer.alloc(60).toString('base64url'),
].flatMap((pageToken) => [
  badPageToken(listTasks, { pageToken }),
  badPageToken(cancelTasks, { all: true, pageToken }),
  badPageToken(redriveTasks, { all: true, pageToken }),
  badPageToken(listTaskTypes, { pageToken }),
  badPageToken(listWorkers, { pageToken }),
]);

function badPageToken<I extends DescMessage>(
  method: DescMethodUnary<I, DescMessage>,
  request: MessageInitShape<I> & { readonly pageToken: string },
) {
  const title = `${method.name} with the page token ${JSON.stringify(request.pageToken)}`;
  return badCall({ title, method, request, expected: pageTokenInvalid });
}
