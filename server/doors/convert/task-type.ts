import { create, type JsonObject } from '@bufbuild/protobuf';
import { DeadlinesSchema } from '@dstc/contract/dstc/v1/task_pb';
import { type TaskType, TaskTypeSchema } from '@dstc/contract/dstc/v1/task_type_pb';
import { fieldInvalid } from '../../domain/errors.ts';
import { priorityDefault, retentionMsDefault, retryPolicyDefault, runDeadlineMsDefault } from '../../domain/limits.ts';
import type { NewTaskType, TaskTypeRow } from '../../store/task-types.ts';
import { circuitBreakerOf, toCircuitBreaker } from './circuit.ts';
import { namespaceOf } from './namespace.ts';
import { deadlinesOf, retryPolicyOf, toRetryPolicy } from './policies.ts';
import { type TaskTypeFacts, toTaskTypeStatus } from './task-type-status.ts';
import { optionalMs, toDuration, toTimestamp } from './time.ts';
import { toTypeLimits, typeLimitsOf } from './type-limits.ts';

/** A task type with its defaults filled in. */
export function taskTypeOf(message: TaskType): Omit<NewTaskType, 'etag'> {
  const { startMs, deliveryMs, heartbeatMs, runMs, totalMs } = deadlinesOf('task_type.deadlines', message.deadlines);
  return {
    namespace: namespaceOf(message),
    name: message.name,
    description: message.description,
    inputSchema: schemaText('task_type.input_schema', message.inputSchema),
    outputSchema: schemaText('task_type.output_schema', message.outputSchema),
    retryPolicy:
      message.retryPolicy === undefined
        ? retryPolicyDefault
        : retryPolicyOf('task_type.retry_policy', message.retryPolicy),
    startMs: startMs ?? null,
    deliveryMs: deliveryMs ?? null,
    heartbeatMs: heartbeatMs ?? null,
    runMs: runMs ?? runDeadlineMsDefault,
    totalMs: totalMs ?? null,
    priority: message.priority ?? priorityDefault,
    retentionMs: optionalMs('task_type.retention', message.retention) ?? retentionMsDefault,
    limits: typeLimitsOf('task_type.limits', message.limits),
    circuitBreaker:
      message.circuitBreaker === undefined
        ? null
        : circuitBreakerOf('task_type.circuit_breaker', message.circuitBreaker),
  };
}

function schemaText(field: string, schema: JsonObject | undefined): string | null {
  if (schema === undefined) return null;
  return JSON.stringify(schema, (_, value: unknown) => {
    // NaN and infinities exist in the message, and not in JSON, which would turn them into null.
    if (typeof value === 'number' && !Number.isFinite(value)) {
      throw fieldInvalid(field, 'has a number that JSON cannot hold');
    }
    return value;
  });
}

export function toTaskType(row: TaskTypeRow, facts: TaskTypeFacts): TaskType {
  const type = create(TaskTypeSchema, {
    namespace: row.namespace,
    name: row.name,
    description: row.description,
    retryPolicy: toRetryPolicy(row.retryPolicy),
    deadlines: create(DeadlinesSchema, { run: toDuration(row.runMs) }),
    priority: row.priority,
    retention: toDuration(row.retentionMs),
    etag: row.etag,
    createTime: toTimestamp(row.createTime),
    updateTime: toTimestamp(row.updateTime),
    status: toTaskTypeStatus(row, facts),
  });
  if (row.inputSchema !== null) type.inputSchema = JSON.parse(row.inputSchema) as JsonObject;
  if (row.outputSchema !== null) type.outputSchema = JSON.parse(row.outputSchema) as JsonObject;
  if (row.limits !== null) type.limits = toTypeLimits(row.limits);
  if (row.circuitBreaker !== null) type.circuitBreaker = toCircuitBreaker(row.circuitBreaker);
  if (type.deadlines !== undefined) {
    if (row.startMs !== null) type.deadlines.start = toDuration(row.startMs);
    if (row.deliveryMs !== null) type.deadlines.delivery = toDuration(row.deliveryMs);
    if (row.heartbeatMs !== null) type.deadlines.heartbeat = toDuration(row.heartbeatMs);
    if (row.totalMs !== null) type.deadlines.total = toDuration(row.totalMs);
  }
  return type;
}
