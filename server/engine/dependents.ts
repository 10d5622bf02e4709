import type { Logger } from 'pino';
import { dependencyOutcome } from '../domain/dependency.ts';
import { DstcError } from '../domain/errors.ts';
import { limits } from '../domain/limits.ts';
import type { TaskState } from '../domain/task-state.ts';
import type { Database, Sql } from '../store/database.ts';
import { type LockedTask, lockTasksOfAnyNamespace } from '../store/lock-tasks.ts';
import {
  type EndedDependency,
  lockEndedDependencies,
  settleDependencies,
  unmarkToldDependencies,
} from '../store/settle-dependencies.ts';
import { type Applied, announceMoves, applyMoves, type TaskCommand } from './apply-moves.ts';
import type { Wake } from './wake.ts';

/** Moves on what has waited for tasks that have ended. */
export interface Dependents {
  /** Until there is nothing left to do that this node can see. Rejects when Postgres is away; the next call goes on. */
  readonly moveOn: () => Promise<void>;
  /** Does no more once it is called, and resolves when what is under way is done. */
  readonly stop: () => Promise<void>;
}

const actor = 'system:dependencies';

/**
 * That a task has ended and has dependents stands in its own row from the same commit on. Moving them follows, in steps
 * of bounded size and each in a transaction of its own: on the node where it ended, at once; on any node, a second
 * later, if that one is gone. A dependent that is cancelled is an ended task like any other, so that a chain of them
 * takes steps and no recursion.
 */
export function createDependents(deps: {
  readonly database: Database;
  readonly wake: Wake;
  readonly log: Logger;
}): Dependents {
  let isStopped = false;
  /** Whether something may have ended since the step under way has looked. */
  let isAsked = false;
  let underWay: Promise<void> | undefined;

  deps.wake.dependencyEnded.listen(() => {
    moveOn().catch((error) => {
      // The next tick of any node finds what is left.
      const isAway = error instanceof DstcError;
      deps.log[isAway ? 'warn' : 'error']({ err: error }, 'dependents were not moved on');
    });
  });

  function moveOn(): Promise<void> {
    isAsked = true;
    underWay ??= moveWhileAsked().finally(() => {
      underWay = undefined;
    });
    return underWay;
  }

  async function moveWhileAsked(): Promise<void> {
    while (isAsked && !isStopped) {
      isAsked = false;
      const { applied, isCut } = await deps.database.transaction(moveSome);
      announceMoves(deps.wake, applied);
      const unmarked = await deps.database.run((sql) => unmarkToldDependencies(sql, limits.sweepBatchMax));
      if (isCut || unmarked === limits.sweepBatchMax) isAsked = true;
    }
  }

  return {
    moveOn,
    async stop() {
      isStopped = true;
      await underWay?.catch(() => undefined);
    },
  };
}

interface Step {
  readonly applied: readonly Applied[];
  /** Whether there are more dependents of the same tasks. */
  readonly isCut: boolean;
}

async function moveSome(sql: Sql): Promise<Step> {
  const ended = await lockEndedDependencies(sql, limits.sweepBatchMax);
  if (ended.length === 0) return { applied: [], isCut: false };
  // Each is locked before what it waits for is counted, so that of two ends at once the second sees the first.
  const dependents = await lockTasksOfAnyNamespace(sql, [...new Set(ended.map(({ taskId }) => taskId))]);
  const free = await settleDependencies(sql, ended);
  const failures = new Map(ended.filter(hasFailed).map((dependency) => [dependency.taskId, dependency]));
  const commands = dependents.flatMap((task): TaskCommand[] => {
    const failure = failures.get(task.id);
    if (failure !== undefined) return [failDependency(task, { id: failure.dependsOn, state: failure.state })];
    return free.has(task.id) ? [{ task, actor, command: 'unblock' }] : [];
  });
  const byDependency = Map.groupBy(ended, ({ dependsOn }) => dependsOn);
  const isCut = [...byDependency.values()].some((group) => group.length === group[0]?.share);
  return { applied: await applyMoves(sql, commands), isCut };
}

function hasFailed({ state, policy }: EndedDependency): boolean {
  return dependencyOutcome(state, policy) === 'failed';
}

/** The command for a task that is not to run without one that has ended. */
export function failDependency(
  task: LockedTask,
  { id, state }: { readonly id: string; readonly state: TaskState },
): TaskCommand {
  return { task, actor, command: 'failDependency', reason: `it depends on task ${id}, which is ${state}` };
}
