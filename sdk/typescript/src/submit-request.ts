import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { durationFromMs, timestampFromDate } from '@bufbuild/protobuf/wkt';
import { type SubmitTaskRequest, SubmitTaskRequestSchema } from '@dstc/contract/dstc/v1/task_service_pb';
import { type Place, taskDependencies } from './dependencies.ts';
import { encodePayload, payloadBytes } from './payload.ts';
import { deadlinesInit, retryPolicyInit } from './policies.ts';
import type { Submission } from './submission.ts';

export function submitRequest(
  namespace: string,
  submission: Submission,
  placeOf: (other: Submission) => Place = noSubmission,
): SubmitTaskRequest {
  const { type, input, idempotencyKey, priority, delayMs, availableTime, labels, retry, deadlines } = submission;
  return create(SubmitTaskRequestSchema, {
    namespace,
    type,
    input: encodePayload(input),
    idempotencyKey: idempotencyKey ?? randomUUID(),
    ...(priority !== undefined && { priority }),
    ...(delayMs !== undefined && { delay: durationFromMs(delayMs) }),
    ...(availableTime !== undefined && { availableTime: timestampFromDate(availableTime) }),
    ...(labels !== undefined && { labels: { ...labels } }),
    ...(retry !== undefined && { retryPolicy: retryPolicyInit(retry) }),
    ...(deadlines !== undefined && { deadlines: deadlinesInit(deadlines) }),
    dependencies: taskDependencies(submission.dependsOn ?? [], placeOf),
  });
}

function noSubmission(): never {
  throw new TypeError('a task depends on a submission that is no task yet; submit both with submitMany');
}

const batchItemsMax = 1_000;
/** Half of what a coordinator takes in one message. */
const batchBytesMax = 4 * 1024 * 1024;
const envelopeBytes = 512;
const dependencyBytes = 64;

/** A submission as it is about to be sent, its dependencies on other submissions aside. */
export interface Prepared {
  readonly submission: Submission;
  readonly request: SubmitTaskRequest;
}

/** Cuts submissions into batches that fit into one message each. A payload that is too large travels alone and is refused alone. */
export function* batches(namespace: string, submissions: Iterable<Submission>): Generator<Prepared[]> {
  let batch: Prepared[] = [];
  let bytes = 0;
  for (const submission of submissions) {
    const { dependsOn = [], ...rest } = submission;
    const request = submitRequest(namespace, rest);
    const size = payloadBytes(request.input) + envelopeBytes + dependsOn.length * dependencyBytes;
    if (batch.length > 0 && (batch.length === batchItemsMax || bytes + size > batchBytesMax)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push({ submission, request });
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}
