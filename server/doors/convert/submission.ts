import type { SubmitTaskRequest } from '@dstc/contract/dstc/v1/task_service_pb';
import type { Submission } from '../../engine/submit.ts';
import { namespaceOf } from './namespace.ts';
import { payloadIdentity, payloadOf } from './payload.ts';
import { deadlinesOf, retryPolicyOf } from './policies.ts';
import { optionalDate, optionalMs } from './time.ts';

/** What a producer asks for, in the words of the engine. */
export function submissionOf(request: SubmitTaskRequest, creator: string): Submission {
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
    creator,
  };
}

function idempotencyOf({ idempotencyKey, input }: SubmitTaskRequest): Submission['idempotency'] {
  return idempotencyKey === '' ? undefined : { key: idempotencyKey, inputIdentity: payloadIdentity(input) };
}
