import type { Task as ContractTask } from '@dstc/contract/dstc/v1/task_pb';
import type { SubmitTaskRequest, SubmitTaskResult } from '@dstc/contract/dstc/v1/task_service_pb';
import { errorOfItem } from './error-details.ts';
import { DstcError } from './errors.ts';
import { batches, type Submission } from './submission.ts';
import type { TaskHandle } from './task-handle.ts';

/** What became of one task of a batch. */
export type SubmitResult =
  | { readonly ok: true; readonly handle: TaskHandle }
  | { readonly ok: false; readonly error: DstcError };

export interface SubmitManyDeps {
  readonly submit: (requests: SubmitTaskRequest[]) => Promise<readonly SubmitTaskResult[]>;
  readonly handleOf: (task: ContractTask, alreadyExisted: boolean) => TaskHandle;
}

/** Submits one batch after the other, which keeps the order; after a batch that fails as a whole, no other is tried. */
export async function submitInBatches(
  namespace: string,
  submissions: Iterable<Submission>,
  { submit, handleOf }: SubmitManyDeps,
): Promise<SubmitResult[]> {
  const results: SubmitResult[] = [];
  let failure: DstcError | undefined;
  for (const requests of batches(namespace, submissions)) {
    if (failure === undefined) {
      try {
        const answers = await submit(requests);
        for (const [index] of requests.entries()) results.push(resultOf(answers[index], handleOf));
        continue;
      } catch (error) {
        if (!(error instanceof DstcError) || results.length === 0) throw error;
        failure = error;
      }
    }
    for (const _ of requests) results.push({ ok: false, error: failure });
  }
  return results;
}

function resultOf(answer: SubmitTaskResult | undefined, handleOf: SubmitManyDeps['handleOf']): SubmitResult {
  if (answer?.result.case === 'task') return { ok: true, handle: handleOf(answer.result.value, answer.alreadyExisted) };
  if (answer?.result.case === 'error') return { ok: false, error: errorOfItem(answer.result.value) };
  throw new Error('the coordinator answered without a result for a submission');
}
