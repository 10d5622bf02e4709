import { type ControlCommand, statesFor } from '../domain/control.ts';
import { decide } from '../domain/decide.ts';
import { limits } from '../domain/limits.ts';
import type { Database } from '../store/database.ts';
import { type LockedTask, lockTasks, selectUnlockedTasks } from '../store/lock-tasks.ts';
import { selectNowMs } from '../store/now.ts';
import { type Found, searchTasks } from '../store/search-tasks.ts';
import type { TaskFilter } from '../store/task-filter.ts';
import { type Applied, applyMoves } from './apply-moves.ts';
import { announceOrders, type Order } from './control.ts';
import type { Wake } from './wake.ts';

/** How far an order for many tasks has come. Whoever gave it keeps this, so that any node can go on. */
export interface Position {
  /** By the database's clock: what was submitted later is left alone. */
  readonly beganMs: number;
  readonly changed: number;
  readonly afterId: string;
}

export interface ControlManyRequest {
  readonly filter: TaskFilter;
  readonly order: Order;
  readonly isDryRun: boolean;
  readonly tasksMax: number;
  /** Of a redrive: how many of the tasks are due in a second; undefined is all at once. */
  readonly tasksPerSecond: number | undefined;
  /** Undefined begins. */
  readonly position: Position | undefined;
}

/** What became of a page. */
export interface ControlManyResult {
  readonly matched: number;
  readonly changed: number;
  /** Some of those that were changed. */
  readonly sampleIds: readonly string[];
  /** Undefined when nothing is left. */
  readonly position: Position | undefined;
}

/**
 * Carries out an order on tasks that match a filter, oldest first, in short transactions of a bounded number each. A task
 * that changes between being found and being locked is left as it then is.
 */
export type ControlMany = (request: ControlManyRequest) => Promise<ControlManyResult>;

interface ControlManyDeps {
  readonly database: Database;
  readonly wake: Wake;
}

export function createControlMany(deps: ControlManyDeps): ControlMany {
  return async (request) => {
    const startedMs = performance.now();
    const nowMs = await deps.database.run((sql) => selectNowMs(sql));
    const {
      beganMs,
      changed: changedBefore,
      afterId,
    } = request.position ?? {
      ...{ beganMs: Math.ceil(nowMs), changed: 0, afterId: undefined },
    };
    const filter = narrowed(request.filter, request.order.command, beganMs);
    if (filter === undefined) return { matched: 0, changed: 0, sampleIds: [], position: undefined };
    const elapsedMs = () => performance.now() - startedMs;

    let matched = 0;
    const changedIds: string[] = [];
    let after: string | undefined = afterId;
    do {
      const place = { order: 'oldest first', after } as const;
      const tasksMax = Math.min(limits.sweepBatchMax, request.tasksMax - matched);
      const found: Found = await deps.database.query((orm) => searchTasks(orm, filter, place, tasksMax));
      const delayMs = spread(request, changedBefore + changedIds.length, nowMs - beganMs + elapsedMs());
      const applied = await carryOut(deps, request, found.tasks, delayMs);
      matched += found.tasks.length;
      changedIds.push(...applied.flatMap(({ task, move }) => (move === undefined ? [] : [task.id])));
      after = found.next;
    } while (after !== undefined && matched < request.tasksMax && elapsedMs() < limits.bulkPageMsMax);
    const changed = changedIds.length;
    return {
      matched,
      changed,
      sampleIds: changedIds.slice(0, limits.bulkSampleIdsMax),
      position: after === undefined ? undefined : { beganMs, changed: changedBefore + changed, afterId: after },
    };
  };
}

/** Only what the command is for and was there when the order was given; undefined when that is nothing. */
function narrowed(filter: TaskFilter, command: ControlCommand, beganMs: number): TaskFilter | undefined {
  const possible = statesFor(command);
  const states = filter.states.length === 0 ? possible : possible.filter((state) => filter.states.includes(state));
  if (states.length === 0) return undefined;
  const began = new Date(beganMs);
  const { createdBefore = began } = filter;
  return {
    ...filter,
    states,
    createdBefore: createdBefore < began ? createdBefore : began,
    deadLettersOnly: filter.deadLettersOnly || command === 'redrive' || command === 'discard',
  };
}

/** In how many milliseconds the next tasks are due, so that the rate holds over all steps and pages. */
function spread(request: ControlManyRequest, changed: number, elapsedMs: number): (index: number) => number {
  const { tasksPerSecond, order } = request;
  const { delayMs = 0 } = order;
  if (tasksPerSecond === undefined) return () => delayMs;
  return (index) => delayMs + Math.max(0, Math.round(((changed + index) * 1_000) / tasksPerSecond - elapsedMs));
}

async function carryOut(
  deps: ControlManyDeps,
  { filter: { namespace }, order, isDryRun }: ControlManyRequest,
  found: Found['tasks'],
  delayMs: (index: number) => number,
): Promise<Applied[]> {
  if (found.length === 0) return [];
  const ids = found.map(({ id }) => id);
  if (isDryRun) {
    const tasks = await deps.database.run((sql) => selectUnlockedTasks(sql, namespace, ids));
    return tasks.map((task) => ({ task, move: decide(task, order.command), retryDelayMs: null }));
  }
  const sequences = new Map(found.map(({ id, eventSequence }) => [id, eventSequence]));
  const isAsFound = ({ id, eventSequence }: LockedTask) => sequences.get(id) === eventSequence;
  const applied = await deps.database.transaction(async (sql) => {
    const tasks = (await lockTasks(sql, namespace, ids)).filter(isAsFound);
    return applyMoves(
      sql,
      tasks.map((task, index) => ({ ...order, task, delayMs: delayMs(index) })),
    );
  });
  announceOrders(deps.wake, applied, order);
  return applied;
}
