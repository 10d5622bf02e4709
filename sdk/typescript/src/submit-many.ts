import type { Task as ContractTask } from '@dstc/contract/dstc/v1/task_pb';
import type { SubmitTaskRequest, SubmitTaskResult } from '@dstc/contract/dstc/v1/task_service_pb';
import { type Place, submissionsAmong, taskDependencies } from './dependencies.ts';
import { errorOfItem } from './error-details.ts';
import { DstcError } from './errors.ts';
import type { Submission } from './submission.ts';
import { batches, type Prepared } from './submit-request.ts';
import type { TaskHandle } from './task-handle.ts';

/** What became of one task of a batch. */
export type SubmitResult =
  | { readonly ok: true; readonly handle: TaskHandle }
  | { readonly ok: false; readonly error: DstcError };

export interface SubmitManyDeps {
  readonly submit: (requests: SubmitTaskRequest[]) => Promise<readonly SubmitTaskResult[]>;
  readonly handleOf: (task: ContractTask, alreadyExisted: boolean) => TaskHandle;
}

/**
 * Submits one batch after the other, which keeps the order. After a batch that fails as a whole no other is tried, unless
 * it was one submission that is too large.
 */
export async function submitInBatches(
  namespace: string,
  submissions: Iterable<Submission>,
  deps: SubmitManyDeps,
): Promise<SubmitResult[]> {
  const results: SubmitResult[] = [];
  const known = new Map<Submission, SubmitResult>();
  let failure: DstcError | undefined;
  for (const batch of batches(namespace, submissions)) {
    let answers: SubmitResult[];
    try {
      answers = failure === undefined ? await submitBatch(batch, known, deps) : refuseAll(batch, failure);
    } catch (error) {
      if (!(error instanceof DstcError)) throw error;
      if (!isTooLargeAlone(batch, error)) {
        if (results.length === 0) throw error;
        failure = error;
      }
      answers = refuseAll(batch, error);
    }
    for (const [index, { submission }] of batch.entries()) {
      const answer = answers[index];
      if (answer !== undefined) known.set(submission, answer);
    }
    results.push(...answers);
  }
  return results;
}

/** Those that depend on a submission of an earlier batch that was refused are refused here, and so is what depends on them. */
async function submitBatch(
  batch: readonly Prepared[],
  earlier: ReadonlyMap<Submission, SubmitResult>,
  { submit, handleOf }: SubmitManyDeps,
): Promise<SubmitResult[]> {
  const refused = new Map<Submission, SubmitResult>();
  for (let size = -1; size !== refused.size; ) {
    size = refused.size;
    for (const { submission } of batch) {
      const targets = submissionsAmong(submission.dependsOn ?? []).map((on) => refused.get(on) ?? earlier.get(on));
      const inVain = targets.find((target) => target?.ok === false);
      if (inVain !== undefined) refused.set(submission, inVain);
    }
  }
  const sent = batch.filter(({ submission }) => !refused.has(submission));
  const places = new Map(sent.map(({ submission }, index) => [submission, index]));
  for (const { submission, request } of sent) {
    request.dependencies = taskDependencies(submission.dependsOn ?? [], (on) => placeOf(on, places, earlier));
  }
  const answers = sent.length === 0 ? [] : await submit(sent.map(({ request }) => request));
  return batch.map(
    ({ submission }) => refused.get(submission) ?? resultOf(answers[places.get(submission) ?? -1], handleOf),
  );
}

function placeOf(
  on: Submission,
  places: ReadonlyMap<Submission, number>,
  earlier: ReadonlyMap<Submission, SubmitResult>,
): Place {
  const index = places.get(on);
  if (index !== undefined) return { case: 'requestIndex', value: index };
  const result = earlier.get(on);
  if (result?.ok) return { case: 'taskId', value: result.handle.id };
  throw new TypeError(
    `a submission depends on one of type ${on.type} that is not among those before it, nor among the thousand around it`,
  );
}

function isTooLargeAlone(batch: readonly Prepared[], error: DstcError): boolean {
  return batch.length === 1 && error.reason === 'MESSAGE_TOO_LARGE';
}

function refuseAll(batch: readonly Prepared[], error: DstcError): SubmitResult[] {
  return batch.map(() => ({ ok: false, error }));
}

function resultOf(answer: SubmitTaskResult | undefined, handleOf: SubmitManyDeps['handleOf']): SubmitResult {
  if (answer?.result.case === 'task') return { ok: true, handle: handleOf(answer.result.value, answer.alreadyExisted) };
  if (answer?.result.case === 'error') return { ok: false, error: errorOfItem(answer.result.value) };
  throw new Error('the coordinator answered without a result for a submission');
}
