export const taskStates = ['BLOCKED', 'PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED', 'SKIPPED'] as const;
export type TaskState = (typeof taskStates)[number];

export const finalStates = ['SUCCEEDED', 'FAILED', 'CANCELLED', 'SKIPPED'] as const satisfies readonly TaskState[];

export function isFinal(state: TaskState): boolean {
  return (finalStates as readonly TaskState[]).includes(state);
}
