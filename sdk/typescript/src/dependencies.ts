import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { DependencyPolicy } from '@dstc/contract/dstc/v1/task_pb';
import { type TaskDependency, TaskDependencySchema } from '@dstc/contract/dstc/v1/task_service_pb';
import type { DependencyTarget, DependsOn, OnFailure, Submission } from './submission.ts';

/** Where a submission of the same `submitMany` is to be found. */
export type Place = Exclude<TaskDependency['task'], { case: undefined }>;

/** Dependencies as the contract says them. Submissions among them are looked up. */
export function taskDependencies(
  dependsOn: readonly DependsOn[],
  placeOf: (submission: Submission) => Place,
): TaskDependency[] {
  return dependsOn.map((each) => {
    const { on, onFailure = 'cancel' } = optionsOf(each);
    const init: MessageInitShape<typeof TaskDependencySchema> = {
      task: isSubmission(on) ? placeOf(on) : { case: 'taskId', value: typeof on === 'string' ? on : on.id },
      onFailure: policies[onFailure],
    };
    return create(TaskDependencySchema, init);
  });
}

/** The submissions of the same `submitMany` that one depends on. */
export function submissionsAmong(dependsOn: readonly DependsOn[]): Submission[] {
  return dependsOn.map((each) => optionsOf(each).on).filter(isSubmission);
}

function optionsOf(dependsOn: DependsOn) {
  return typeof dependsOn === 'object' && 'on' in dependsOn ? dependsOn : { on: dependsOn };
}

function isSubmission(target: DependencyTarget): target is Submission {
  return typeof target === 'object' && !('id' in target);
}

const policies = {
  cancel: DependencyPolicy.CANCEL,
  continue: DependencyPolicy.CONTINUE,
  block: DependencyPolicy.BLOCK,
} as const satisfies Record<OnFailure, DependencyPolicy>;
