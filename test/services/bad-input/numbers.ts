import type { DescMessage, DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf';
import { type DependencyPolicy, TaskState } from '@dstc/contract/dstc/v1/task_pb';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { badCall, badSubmission, fieldInvalid, noTask } from './bad-call.ts';

const { listTasks, awaitTask, listTaskEvents, cancelTask, redriveTask } = TaskService.method;
const { applyTaskType, listTaskTypes } = TaskTypeService.method;
const { listWorkers, drainWorker } = WorkerService.method;

const day = 86_400n;
export const times = [
  badSubmission('a negative delay', { delay: { seconds: -1n } }, 'delay'),
  badSubmission('a delay of nanoseconds below zero', { delay: { nanos: -1 } }, 'delay'),
  badSubmission('a delay over a year', { delay: { seconds: 366n * day } }, 'delay'),
  badSubmission(
    'a delay of two seconds in nanoseconds',
    { delay: { nanos: 2_000_000_000 } },
    'delay',
    '{"type":"a.plain","delay":"0.2000000000s"}',
  ),
  badSubmission(
    'a delay whose parts disagree',
    { delay: { seconds: 1n, nanos: -1 } },
    'delay',
    '{"type":"a.plain","delay":"1.-1s"}',
  ),
  badSubmission(
    'an endless delay',
    { delay: { seconds: 2n ** 63n - 1n } },
    'delay',
    '{"type":"a.plain","delay":"9223372036854775807s"}',
  ),
  badSubmission('a time before 1970', { availableTime: { seconds: -1n } }, 'available_time'),
  badSubmission(
    'a time after 9999',
    { availableTime: { seconds: 253_402_300_800n } },
    'available_time',
    '{"type":"a.plain","availableTime":"10000-01-01T00:00:00Z"}',
  ),
  badSubmission(
    'a time with too many nanoseconds',
    { availableTime: { seconds: 1n, nanos: 1_000_000_000 } },
    'available_time',
    '{"type":"a.plain","availableTime":"1970-01-01T00:00:01.1000000000Z"}',
  ),
  badSubmission(
    'a time with nanoseconds below zero',
    { availableTime: { seconds: 1n, nanos: -1 } },
    'available_time',
    '{"type":"a.plain","availableTime":"yesterday"}',
  ),
  badSubmission(
    'a heartbeat deadline of a second',
    { deadlines: { heartbeat: { seconds: 1n } } },
    'deadlines.heartbeat',
  ),
  badSubmission('a delivery deadline of nothing', { deadlines: { delivery: {} } }, 'deadlines.delivery'),
  badSubmission(
    'a delivery deadline over an hour',
    { deadlines: { delivery: { seconds: 3_601n } } },
    'deadlines.delivery',
  ),
  badCall({
    title: 'DrainWorker within more than a day',
    method: drainWorker,
    request: { sessionId: noTask, within: { seconds: day + 1n } },
    expected: fieldInvalid('within'),
  }),
  badCall({
    title: 'DrainWorker within less than nothing',
    method: drainWorker,
    request: { sessionId: noTask, within: { seconds: -1n } },
    expected: fieldInvalid('within'),
  }),
  ...(['start', 'run', 'total'] as const).flatMap((name) => [
    badSubmission(`a ${name} deadline of zero`, { deadlines: { [name]: {} } }, `deadlines.${name}`),
    badSubmission(`a negative ${name} deadline`, { deadlines: { [name]: { seconds: -5n } } }, `deadlines.${name}`),
    badSubmission(`a ${name} deadline of a nanosecond`, { deadlines: { [name]: { nanos: 1 } } }, `deadlines.${name}`),
    badSubmission(
      `a ${name} deadline over a year`,
      { deadlines: { [name]: { seconds: 366n * day } } },
      `deadlines.${name}`,
    ),
  ]),
  badCall({
    title: 'AwaitTask with a timeout over a minute',
    method: awaitTask,
    request: { id: noTask, timeout: { seconds: 61n } },
    expected: fieldInvalid('timeout'),
  }),
  badCall({
    title: 'AwaitTask with a negative timeout',
    method: awaitTask,
    request: { id: noTask, timeout: { seconds: -1n } },
    expected: fieldInvalid('timeout'),
  }),
  badCall({
    title: 'CancelTask with a grace over an hour',
    method: cancelTask,
    request: { id: noTask, grace: { seconds: 3_601n } },
    expected: fieldInvalid('grace'),
  }),
  badCall({
    title: 'RedriveTask with a delay over a year',
    method: redriveTask,
    request: { id: noTask, delay: { seconds: 366n * day } },
    expected: fieldInvalid('delay'),
  }),
  badCall({
    title: 'RedriveTask with a negative delay',
    method: redriveTask,
    request: { id: noTask, delay: { seconds: -1n } },
    expected: fieldInvalid('delay'),
  }),
  badCall({
    title: 'a filter with a time before 1970',
    method: listTasks,
    request: { filter: { createdAfter: { seconds: -1n } } },
    expected: fieldInvalid('filter.created_after'),
  }),
  badCall({
    title: 'a task type that is kept for a second',
    method: applyTaskType,
    request: { taskType: { name: 'a.bad', retention: { seconds: 1n } } },
    expected: fieldInvalid('task_type.retention'),
  }),
];

export const numbers = [
  badSubmission(
    'the policy 99 of a dependency',
    { dependencies: [{ task: { case: 'taskId', value: noTask }, onFailure: 99 as DependencyPolicy }] },
    'dependencies[0].on_failure',
    `{"type":"a.plain","dependencies":[{"taskId":"${noTask}","onFailure":"DEPENDENCY_POLICY_BROKEN"}]}`,
  ),
  ...[-1, 1_000].map((value) =>
    badSubmission(
      `a dependency on the request ${value}`,
      { dependencies: [{ task: { case: 'requestIndex', value } }] },
      'dependencies[0].request_index',
    ),
  ),
  badSubmission('a dependency on nothing', { dependencies: [{}] }, 'dependencies[0].task'),
  badSubmission('the priority 10', { priority: 10 }, 'priority'),
  badSubmission('the priority -1', { priority: -1 }, 'priority'),
  badSubmission('-1 attempts', { retryPolicy: { attemptsMax: -1 } }, 'retry_policy.attempts_max'),
  badSubmission('1,001 attempts', { retryPolicy: { attemptsMax: 1_001 } }, 'retry_policy.attempts_max'),
  badSubmission(
    'a multiplier that is no number',
    { retryPolicy: { multiplier: Number.NaN } },
    'retry_policy.multiplier',
  ),
  badSubmission(
    'an infinite multiplier',
    { retryPolicy: { multiplier: Number.POSITIVE_INFINITY } },
    'retry_policy.multiplier',
  ),
  badSubmission('a negative multiplier', { retryPolicy: { multiplier: -0.5 } }, 'retry_policy.multiplier'),
  badSubmission(
    'a negative first wait',
    { retryPolicy: { initialDelay: { seconds: -1n } } },
    'retry_policy.initial_delay',
  ),
  badSubmission(
    'a longest wait over a week',
    { retryPolicy: { delayMax: { seconds: 8n * day } } },
    'retry_policy.delay_max',
  ),
  badSubmission(
    'an error code with a space',
    { retryPolicy: { nonRetryableCodes: ['A B'] } },
    'retry_policy.non_retryable_codes[0]',
  ),
  ...[-1, 1_001, 1_000_000_000].flatMap((pageSize) => [
    badPageSize(listTasks, { pageSize }),
    badPageSize(listTaskTypes, { pageSize }),
    badPageSize(listWorkers, { pageSize }),
    badPageSize(listTaskEvents, { taskId: noTask, pageSize }),
  ]),
  badCall({
    title: 'a filter with the state 99',
    method: listTasks,
    request: { filter: { states: [99 as TaskState] } },
    body: '{"filter":{"states":["TASK_STATE_BROKEN"]}}',
    expected: fieldInvalid('filter.states[0]'),
  }),
  badCall({
    title: 'a filter with no state',
    method: listTasks,
    request: { filter: { states: [TaskState.UNSPECIFIED] } },
    expected: fieldInvalid('filter.states[0]'),
  }),
];

function badPageSize<I extends DescMessage>(
  method: DescMethodUnary<I, DescMessage>,
  request: MessageInitShape<I> & { readonly pageSize: number },
) {
  return badCall({
    title: `${method.name} with pages of ${request.pageSize}`,
    method,
    request,
    expected: fieldInvalid('page_size'),
  });
}
