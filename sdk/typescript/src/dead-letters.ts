import { create } from '@bufbuild/protobuf';
import { SummarizeDeadLettersRequestSchema, TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import type { Caller } from './caller.ts';
import { dateOf } from './task.ts';
import { filterOf, type TaskFilter } from './task-filter.ts';

/** Dead letters of one cause. */
export interface DeadLetterGroup {
  readonly type: string;
  readonly errorCode: string;
  /** Selects them in a TaskFilter. */
  readonly errorFingerprint: string;
  readonly count: number;
  /** Of the newest one. */
  readonly message: string;
  readonly newestId: string;
  readonly lastFailedTime: Date | undefined;
}

/** The 100 largest groups, the largest first. */
export interface DeadLetterSummary {
  readonly groups: readonly DeadLetterGroup[];
  /** False when there are more than 10,000 dead letters: the newest ones were counted. */
  readonly complete: boolean;
}

export async function summarizeDeadLetters(
  caller: Caller,
  namespace: string,
  filter: TaskFilter,
): Promise<DeadLetterSummary> {
  const request = create(SummarizeDeadLettersRequestSchema, { namespace, filter: filterOf(filter) });
  const { groups, complete } = await caller.unary(TaskService.method.summarizeDeadLetters, request);
  return {
    groups: groups.map(({ type, errorCode, errorFingerprint, count, message, newestId, lastFailedTime }) => ({
      ...{ type, errorCode, errorFingerprint, count, message, newestId },
      lastFailedTime: dateOf(lastFailedTime),
    })),
    complete,
  };
}
