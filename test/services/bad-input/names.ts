import type { DescMessage, DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf';
import { NamespaceService } from '@dstc/contract/dstc/v1/namespace_service_pb';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { badCall, badSubmission, controlMethods, fieldInvalid, noTask } from './bad-call.ts';

const { getTask, listTasks, awaitTask } = TaskService.method;
const { applyTaskType, deleteTaskType, pauseTaskType, resumeTaskType } = TaskTypeService.method;

const { getNamespace, pauseNamespace, resumeNamespace } = NamespaceService.method;
const { drainWorker } = WorkerService.method;

const badNames = [
  '',
  ' ',
  'x'.repeat(129),
  'a\u0000b',
  'a\tb',
  'a\n',
  'a\u007fb',
  'a.*',
  'a.>',
  '*',
  '>',
  '$JS.API',
  '.a',
  'a.',
  'a..b',
  '-a',
  '../a',
  'a/b',
  'a\\b',
  "a'; DROP TABLE task; --",
  'a"b',
  'a%b',
  'ä',
  '\u202ea',
];
const badNamespaces = ['A', '-a', 'a-', 'a.b', 'a*', '>', 'a_b', '../x', "a'--", 'x'.repeat(64), 'a\u0000', 'a\n', ' '];
const badLabelKeys = ['', 'x'.repeat(64), 'a b', 'a\u0000b', '.a', 'a.', '*', "a'b", '__proto__', 'ä'];
const badLabelValues = ['x'.repeat(257), 'a\u0000b', 'a\nb', 'a\u007fb'];
const badIds = ['', 'x', '0', `${noTask}0`, `{${noTask}}`, noTask.replaceAll('-', ''), "' OR 1=1", `${noTask}\u0000`];

export const names = badNames.flatMap((name) => [
  badSubmission(`the type ${JSON.stringify(name)}`, { type: name }, 'type'),
  badCall({
    title: `a task type with the name ${JSON.stringify(name)}`,
    method: applyTaskType,
    request: { taskType: { name } },
    expected: fieldInvalid('task_type.name'),
  }),
  badCall({
    title: `a filter with the type ${JSON.stringify(name)}`,
    method: listTasks,
    request: { filter: { types: ['a.plain', name] } },
    expected: fieldInvalid('filter.types[1]'),
  }),
  badName(pauseTaskType, { name }),
  badName(resumeTaskType, { name }),
  badName(deleteTaskType, { name }),
]);

export const labels = [
  ...badLabelKeys.map((key) =>
    badSubmission(`the label ${JSON.stringify(key)}`, { labels: fromPairs([[key, 'x']]) }, `labels["${key}"]`),
  ),
  ...badLabelValues.map((value) =>
    badSubmission(`the label value ${JSON.stringify(value)}`, { labels: { a: value } }, 'labels["a"]'),
  ),
  badSubmission('33 labels', { labels: fromPairs(Array.from({ length: 33 }, (_, at) => [`a${at}`, 'x'])) }, 'labels'),
  badCall({
    title: 'a filter with the label "a\\u0000b"',
    method: listTasks,
    request: { filter: { labels: { 'a\u0000b': 'x' } } },
    expected: fieldInvalid('filter.labels["a\u0000b"]'),
  }),
];

/** A label may be called `__proto__`, which a literal would not make. */
function fromPairs(pairs: readonly (readonly [string, string])[]): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [key, value] of pairs) Object.defineProperty(result, key, { value, enumerable: true });
  return result;
}

export const namespaces = badNamespaces.flatMap((namespace) => [
  badSubmission(`the namespace ${JSON.stringify(namespace)}`, { namespace }, 'namespace'),
  badCall({
    title: `a filter with the namespace ${JSON.stringify(namespace)}`,
    method: listTasks,
    request: { namespace },
    expected: fieldInvalid('namespace'),
  }),
  badNamespace(getNamespace, { namespace }),
  badNamespace(pauseNamespace, { namespace }),
  badNamespace(resumeNamespace, { namespace }),
]);

function badName<I extends DescMessage>(
  method: DescMethodUnary<I, DescMessage>,
  request: MessageInitShape<I> & { readonly name: string },
) {
  const title = `${method.name} of ${JSON.stringify(request.name)}`;
  return badCall({ title, method, request, expected: fieldInvalid('name') });
}

function badNamespace<I extends DescMessage>(
  method: DescMethodUnary<I, DescMessage>,
  request: MessageInitShape<I> & { readonly namespace: string },
) {
  const title = `${method.name} of ${JSON.stringify(request.namespace)}`;
  return badCall({ title, method, request, expected: fieldInvalid('namespace') });
}

export const ids = badIds.flatMap((id) => [
  badId(getTask, { id }),
  badId(awaitTask, { id }),
  ...controlMethods.map((method) => badId(method, { id })),
  badCall({
    title: `DrainWorker of ${JSON.stringify(id)}`,
    method: drainWorker,
    request: { sessionId: id },
    expected: fieldInvalid('session_id'),
  }),
  badSubmission(
    `a dependency on ${JSON.stringify(id)}`,
    { dependencies: [{ task: { case: 'taskId', value: id } }] },
    'dependencies[0].task_id',
  ),
]);

function badId<I extends DescMessage>(
  method: DescMethodUnary<I, DescMessage>,
  request: MessageInitShape<I> & { readonly id: string },
) {
  const title = `${method.name} of ${JSON.stringify(request.id)}`;
  return badCall({ title, method, request, expected: fieldInvalid('id') });
}
