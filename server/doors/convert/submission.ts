import type { SubmitTaskRequest, TaskDependency } from '@dstc/contract/dstc/v1/task_service_pb';
import type { Dependency } from '../../domain/dependency.ts';
import { parseTaskId } from '../../domain/ids.ts';
import type { Submission } from '../../engine/submit.ts';
import { dependencyPolicyOf } from './enums.ts';
import { namespaceOf } from './namespace.ts';
import { payloadIdentity, payloadOf } from './payload.ts';
import { deadlinesOf, retryPolicyOf } from './policies.ts';
import { optionalDate, optionalMs } from './time.ts';

/** What a producer asks for, in the words of the engine. */
export function submissionOf(
  request: SubmitTaskRequest,
  { creator, traceParent }: Pick<Submission, 'creator' | 'traceParent'>,
): Submission {
  return {
    namespace: namespaceOf(request),
    type: request.type,
    input: payloadOf('input', request.input),
    idempotency: idempotencyOf(request),
    priority: request.priority,
    delayMs: optionalMs('delay', request.delay) ?? 0,
    availableTime: optionalDate('available_time', request.availableTime),
    labels: request.labels,
    retryPolicy: request.retryPolicy && retryPolicyOf('retry_policy', request.retryPolicy),
    ...deadlinesOf('deadlines', request.deadlines),
    dependencies: request.dependencies.map(dependencyOf),
    creator,
    traceParent,
  };
}

/** The contract's rules have seen that one of the two is set, and that an id is a UUID. */
function dependencyOf({ task, onFailure }: TaskDependency): Dependency {
  const policy = dependencyPolicyOf[onFailure];
  if (task.case === 'requestIndex') return { requestIndex: task.value, policy };
  return { taskId: parseTaskId(task.value ?? ''), policy };
}

function idempotencyOf({ idempotencyKey, input }: SubmitTaskRequest): Submission['idempotency'] {
  return idempotencyKey === '' ? undefined : { key: idempotencyKey, inputIdentity: payloadIdentity(input) };
}
