import { isFinal, type TaskState } from './task-state.ts';

/** What becomes of a task when one that it depends on ends without success. */
export const dependencyPolicies = ['cancel', 'continue', 'block'] as const;
export type DependencyPolicy = (typeof dependencyPolicies)[number];

/** A task that comes before another one, as its producer names it: one that is there, or a request of the same call. */
export type Dependency = { readonly policy: DependencyPolicy } & (
  | { readonly taskId: string }
  | { readonly requestIndex: number }
);

/** The field of a submission that names a dependency. */
export function dependencyField(dependency: Dependency, position: number): string {
  return `dependencies[${position}].${'taskId' in dependency ? 'task_id' : 'request_index'}`;
}

/** Whether a dependency in some state is waited for, is met, or takes its dependent with it. */
export function dependencyOutcome(state: TaskState, policy: DependencyPolicy): 'waiting' | 'met' | 'failed' {
  if (!isFinal(state)) return 'waiting';
  if (state === 'SUCCEEDED' || state === 'SKIPPED') return 'met';
  switch (policy) {
    case 'cancel':
      return 'failed';
    case 'continue':
      return 'met';
    case 'block':
      return 'waiting';
  }
}
