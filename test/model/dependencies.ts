import type { DependencyPolicy } from '../../server/domain/dependency.ts';
import type { Model } from './model.ts';
import { hasEnded, type ModelTask, turn } from './task-model.ts';
import { modelTypes } from './types.ts';

/** What a task of the model depends on. */
export interface ModelDependency {
  readonly on: string;
  readonly policy: DependencyPolicy;
  waits: boolean;
}

/** What the end of one task means for one that depends on it. */
export function meaningOf({ state }: ModelTask, policy: DependencyPolicy): 'wait' | 'go on' | 'give up' {
  if (!hasEnded({ state })) return 'wait';
  if (state === 'SUCCEEDED' || state === 'SKIPPED' || policy === 'continue') return 'go on';
  return policy === 'cancel' ? 'give up' : 'wait';
}

/**
 * Tells those that depend on tasks that have ended, and not yet those that depend on them in turn. Answers with what
 * became of whom; with nothing when there was nobody to be told.
 */
function tell(model: Model): string[] {
  const told = [...model.tasks.values()].flatMap((task) => {
    const news = task.dependencies.flatMap((dependency) => {
      const on = dependency.waits ? model.tasks.get(dependency.on) : undefined;
      const meaning = on === undefined ? 'wait' : meaningOf(on, dependency.policy);
      return meaning === 'wait' ? [] : [{ dependency, meaning }];
    });
    return news.length === 0 ? [] : [{ task, news }];
  });
  return told.map(({ task, news }) => {
    for (const { dependency } of news) dependency.waits = false;
    if (task.state !== 'BLOCKED') return 'dependent: not blocked';
    if (news.some(({ meaning }) => meaning === 'give up')) {
      turn(task, 'CANCELLED', 'cancelled');
      return 'dependent: cancelled';
    }
    if (isWaiting(task)) return 'dependent: waits for more';
    turn(task, 'PENDING', 'unblocked');
    if (modelTypes[task.type]?.hasStart) task.deadlines.add('start');
    return 'dependent: freed';
  });
}

/** Tells everybody, and answers with what became of whom. */
export function tellAll(model: Model): string[] {
  const all: string[] = [];
  for (let told = tell(model); told.length > 0; told = tell(model)) all.push(...told);
  return all;
}

/** The model as it is, and after each step of telling. */
export function whileTelling(model: Model): Model[] {
  const next = structuredClone(model);
  return tell(next).length === 0 ? [model] : [model, ...whileTelling(next)];
}

export function isWaiting({ dependencies }: ModelTask): boolean {
  return dependencies.some(({ waits }) => waits);
}

/** Whether its end, or its next one, will be told to others. */
export function isWaitedFor(model: Model, { name }: ModelTask): boolean {
  return [...model.tasks.values()].some(({ dependencies }) =>
    dependencies.some(({ on, waits }) => waits && on === name),
  );
}

/** Whether a task that has not ended may still ask for the result. */
export function isNeeded(model: Model, { name }: ModelTask): boolean {
  return [...model.tasks.values()].some(
    (task) => !hasEnded(task) && task.dependencies.some((dependency) => dependency.on === name),
  );
}
