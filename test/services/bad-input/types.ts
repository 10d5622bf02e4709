import type { DescMessage, DescMethodUnary, JsonObject, MessageInitShape } from '@bufbuild/protobuf';
import { type CircuitBreakerSchema, CircuitMode } from '@dstc/contract/dstc/v1/circuit_pb';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import type { TaskTypeLimitsSchema } from '@dstc/contract/dstc/v1/task_type_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { badCall, controlMethods, fieldInvalid, noTask } from './bad-call.ts';

const { submitTask, getTask, awaitTask } = TaskService.method;
const { applyTaskType, getTaskType, setTaskTypeCircuit } = TaskTypeService.method;

const schemas: readonly [string, JsonObject][] = [
  ['names a type that is none', { type: 'strnig' }],
  ['has a number where a text belongs', { type: 7 }],
  ['refers to nothing', { $ref: '#/$defs/missing' }],
  ['refers to another place', { $ref: 'https://example.com/schema.json' }],
  ['has a pattern that is none', { type: 'string', pattern: '(' }],
  ['is of another draft', { $schema: 'http://json-schema.org/draft-04/schema#' }],
  // Its check would answer with a promise, which is neither yes nor no.
  ['is asynchronous', { $async: true, type: 'object' }],
  ['is large', { enum: Array.from({ length: 60_000 }, (_, at) => `value ${at}`) }],
];
const limits: readonly [string, MessageInitShape<typeof TaskTypeLimitsSchema>, string][] = [
  ['have no key for a limit per key', { concurrencyPerKeyMax: 1 }, 'key'],
  ['have no key for a rate per key', { ratePerKey: { tasks: 1 } }, 'key'],
  ['have a key of nothing', { key: {} }, 'key.source'],
  ['have a key of a bad label', { key: { source: { case: 'label', value: 'a b' } } }, 'key.label'],
  ['have a pointer without a slash', { key: { source: { case: 'inputPointer', value: 'a' } } }, 'key.input_pointer'],
  [
    'have a pointer with a wild tilde',
    { key: { source: { case: 'inputPointer', value: '/a~2' } } },
    'key.input_pointer',
  ],
  ['are negative', { concurrencyMax: -1 }, 'concurrency_max'],
  ['are too large', { queueMax: 2_000_000_000 }, 'queue_max'],
  ['have a rate of nothing', { rate: { tasks: 0 } }, 'rate.tasks'],
  ['have a rate in no time', { rate: { tasks: 1, interval: {} } }, 'rate.interval'],
];
export const applications = [
  ...schemas.flatMap(([title, schema]) =>
    (['inputSchema', 'outputSchema'] as const).map((which) =>
      badCall({
        title: `a task type whose ${which} ${title}`,
        method: applyTaskType,
        request: { taskType: { name: 'a.bad', [which]: schema } },
        expected: fieldInvalid(which === 'inputSchema' ? 'task_type.input_schema' : 'task_type.output_schema'),
      }),
    ),
  ),
  ...limits.map(([title, given, field]) =>
    badCall({
      title: `a task type with limits that ${title}`,
      method: applyTaskType,
      request: { taskType: { name: 'a.bad', limits: given } },
      expected: fieldInvalid(`task_type.limits.${field}`),
    }),
  ),
  badCall({ title: 'no task type at all', method: applyTaskType, request: {}, expected: fieldInvalid('task_type') }),
  ...['another', 'a\u0000b', "' OR 1=1"].map((etag) =>
    badCall({
      title: `a task type with the etag ${JSON.stringify(etag)}`,
      method: applyTaskType,
      request: { taskType: { name: 'a.plain', etag } },
      expected: { code: 'Aborted', reason: 'ETAG_MISMATCH', metadata: { task_type: 'a.plain' } },
    }),
  ),
  badCall({
    title: 'a task type that is not there, with an etag',
    method: applyTaskType,
    request: { taskType: { name: 'a.bad', etag: 'another' } },
    expected: { code: 'Aborted', reason: 'ETAG_MISMATCH', metadata: { task_type: 'a.bad' } },
  }),
];

const breakers: readonly [string, MessageInitShape<typeof CircuitBreakerSchema>, string][] = [
  ['a share above one', { failureRatio: 1.01 }, 'failure_ratio'],
  ['a negative share', { failureRatio: -0.1 }, 'failure_ratio'],
  ['a share that is no number', { failureRatio: Number.NaN }, 'failure_ratio'],
  ['-1 attempts', { attemptsMin: -1 }, 'attempts_min'],
  ['a window of less than a second', { window: { nanos: 999_999_999 } }, 'window'],
  ['a window of more than an hour', { window: { seconds: 3_601n } }, 'window'],
  ['no open time at all', { openDuration: {} }, 'open_duration'],
  ['an open time of more than an hour', { openDuration: { seconds: 3_601n } }, 'open_duration'],
  ['-1 probes', { probes: -1 }, 'probes'],
  ['1,001 probes', { probes: 1_001 }, 'probes'],
];
const setCircuit = { name: 'a.plain', mode: CircuitMode.AUTOMATIC };
export const circuits = [
  ...breakers.map(([title, circuitBreaker, field]) =>
    badCall({
      title: `a circuit breaker with ${title}`,
      method: applyTaskType,
      request: { taskType: { name: 'a.bad', circuitBreaker } },
      expected: fieldInvalid(`task_type.circuit_breaker.${field}`),
    }),
  ),
  badCall({
    title: 'SetTaskTypeCircuit without a mode',
    method: setTaskTypeCircuit,
    request: { name: 'a.plain' },
    expected: fieldInvalid('mode'),
  }),
  badCall({
    title: 'SetTaskTypeCircuit with the mode 99',
    method: setTaskTypeCircuit,
    request: { name: 'a.plain', mode: 99 as CircuitMode },
    body: '{"name":"a.plain","mode":"CIRCUIT_MODE_BROKEN"}',
    expected: fieldInvalid('mode'),
  }),
  badCall({
    title: 'SetTaskTypeCircuit with NUL in its reason',
    method: setTaskTypeCircuit,
    request: { ...setCircuit, reason: 'a\u0000b' },
    expected: fieldInvalid('reason'),
  }),
  badCall({
    title: 'SetTaskTypeCircuit of a type whose name is none',
    method: setTaskTypeCircuit,
    request: { ...setCircuit, name: 'a..b' },
    expected: fieldInvalid('name'),
  }),
  badCall({
    title: 'SetTaskTypeCircuit in a namespace whose name is none',
    method: setTaskTypeCircuit,
    request: { ...setCircuit, namespace: 'a*' },
    expected: fieldInvalid('namespace'),
  }),
];

export const missing = [
  badCall({
    title: 'a submission of a type that is not there',
    method: submitTask,
    request: { type: 'a.missing' },
    expected: { code: 'NotFound', reason: 'TASK_TYPE_NOT_FOUND', metadata: { task_type: 'a.missing' } },
  }),
  badCall({
    title: 'a task type that is not there',
    method: getTaskType,
    request: { name: 'a.missing' },
    expected: { code: 'NotFound', reason: 'TASK_TYPE_NOT_FOUND', metadata: { task_type: 'a.missing' } },
  }),
  missingTask(getTask, { id: noTask }),
  missingTask(awaitTask, { id: noTask }),
  ...controlMethods.map((method) => missingTask(method, { id: noTask })),
];

function missingTask<I extends DescMessage>(method: DescMethodUnary<I, DescMessage>, request: MessageInitShape<I>) {
  const expected = { code: 'NotFound', reason: 'TASK_NOT_FOUND', metadata: { task_id: noTask } };
  return badCall({ title: `${method.name} of a task that is not there`, method, request, expected });
}
