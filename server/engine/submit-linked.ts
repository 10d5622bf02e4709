import { DstcError } from '../domain/errors.ts';
import { limits } from '../domain/limits.ts';
import { inOrder } from '../domain/request-graph.ts';
import { createGroupCommit } from './group-commit.ts';
import type { Place } from './queue-limits.ts';
import { referencesOf, withoutBadLinks } from './request-links.ts';
import type { LinkedCall, LinkedRequest, SubmitterRights } from './resolve-links.ts';
import { prepareTask, type Submission, type SubmitDeps, type Submitted } from './submit.ts';
import { writeLinkedCalls } from './write-linked.ts';

/**
 * Submits the requests of one call, of which some depend on others or on tasks that are there. A request that is an error
 * already only counts as what others depend on in vain. Resolves after the commit, with a task or an error for each.
 */
export type SubmitLinked = (
  requests: readonly (Submission | DstcError)[],
  rights: SubmitterRights,
) => Promise<readonly (Submitted | DstcError)[]>;

/** What a request and a dependency weigh in a transaction beside the input, in bytes. */
const weights = { request: 4_096, dependency: 256 };

/**
 * Calls are written in groups here, too, each group in one transaction: those that depend on one task would otherwise
 * wait for each other's lock on it.
 */
export function createSubmitLinked(deps: SubmitDeps): SubmitLinked {
  const commits = createGroupCommit<LinkedCall, readonly (Submitted | DstcError)[]>({
    flush: (calls) => writeLinkedCalls(deps, calls),
    itemsMax: limits.groupCommitItemsMax,
    bytesMax: limits.groupCommitBytesMax,
    bytesOf,
    concurrency: 2,
    queueMax: limits.groupCommitQueueMax,
  });

  return async (submissions, rights) => {
    const checked = withoutBadLinks(submissions);
    const requests = await Promise.all(checked.map((submission) => linkedRequest(deps, submission)));
    try {
      const results = await commits.add({ requests, order: inOrder(checked.map(referencesOf)), rights });
      results.forEach((result, position) => {
        const isInserted = !(result instanceof DstcError) && result.kind === 'inserted';
        endPlace(requests[position], isInserted ? 'taken' : 'free');
      });
      return results;
    } catch (error) {
      for (const request of requests) endPlace(request, 'unknown');
      throw error;
    }
  };
}

function endPlace(request: LinkedRequest | undefined, use: Parameters<Place['end']>[0]): void {
  if (request !== undefined && !(request.task instanceof DstcError)) request.task.place?.end(use);
}

async function linkedRequest(deps: SubmitDeps, submission: Submission | DstcError): Promise<LinkedRequest> {
  if (submission instanceof DstcError) return { task: submission, dependencies: [] };
  try {
    return { task: await prepareTask(deps, submission), dependencies: submission.dependencies };
  } catch (error) {
    if (!(error instanceof DstcError)) throw error;
    return { task: error, dependencies: [] };
  }
}

function bytesOf({ requests }: LinkedCall): number {
  let bytes = 0;
  for (const { task, dependencies } of requests) {
    bytes += weights.request + weights.dependency * dependencies.length;
    if (!(task instanceof DstcError)) bytes += task.input.byteLength;
  }
  return bytes;
}
