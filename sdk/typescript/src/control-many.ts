import { create, type DescMethodUnary, type MessageShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { TaskFilter as ContractFilter } from '@dstc/contract/dstc/v1/task_filter_pb';
import {
  CancelTasksRequestSchema,
  DiscardTasksRequestSchema,
  PauseTasksRequestSchema,
  RedriveTasksRequestSchema,
  ResumeTasksRequestSchema,
  SkipTasksRequestSchema,
  TaskService,
} from '@dstc/contract/dstc/v1/task_service_pb';
import type { Caller } from './caller.ts';
import type { ControlOptions } from './control.ts';
import { narrowFilterOf, type TaskFilter } from './task-filter.ts';

/** What became of the tasks that match. */
export interface ControlManyResult {
  /** Tasks that match and that the command is for. */
  readonly matched: number;
  /** Those of them that were changed, or in a dry run would be. */
  readonly changed: number;
  /** The ids of some that were changed. */
  readonly sampleIds: readonly string[];
}

export interface ControlManyOptions extends ControlOptions {
  /** Counts what would be changed, and changes nothing. */
  readonly dryRun?: boolean | undefined;
  /** Tasks of one call; 1,000 when left out, 10,000 at most. */
  readonly pageSize?: number | undefined;
  /** Called after each page with what became of all so far. */
  readonly onProgress?: ((result: ControlManyResult) => void) | undefined;
  /** Stops before the next page. */
  readonly signal?: AbortSignal | undefined;
}

export interface CancelManyOptions extends ControlManyOptions {
  /** How long the workers of running tasks have to stop. */
  readonly graceMs?: number | undefined;
}

export interface RedriveManyOptions extends ControlManyOptions {
  /** Spreads the tasks over time; all at once when left out. */
  readonly tasksPerSecond?: number | undefined;
}

/**
 * Steers all tasks that match a filter with at least one condition, or `'all'` of the namespace: oldest first, those of
 * the types that the caller may steer. An empty list in the filter is refused.
 */
export interface ControlMany {
  cancelMany(filter: TaskFilter | 'all', options?: CancelManyOptions): Promise<ControlManyResult>;
  pauseMany(filter: TaskFilter | 'all', options?: ControlManyOptions): Promise<ControlManyResult>;
  resumeMany(filter: TaskFilter | 'all', options?: ControlManyOptions): Promise<ControlManyResult>;
  skipMany(filter: TaskFilter | 'all', options?: ControlManyOptions): Promise<ControlManyResult>;
  redriveMany(filter: TaskFilter | 'all', options?: RedriveManyOptions): Promise<ControlManyResult>;
  discardMany(filter: TaskFilter | 'all', options?: ControlManyOptions): Promise<ControlManyResult>;
}

type Response = (typeof TaskService.method)[
  | 'cancelTasks'
  | 'pauseTasks'
  | 'resumeTasks'
  | 'skipTasks'
  | 'redriveTasks'
  | 'discardTasks']['output'];

/** What all the requests have in common. */
interface Page {
  readonly namespace: string;
  readonly filter?: ContractFilter;
  readonly all: boolean;
  readonly reason: string;
  readonly dryRun: boolean;
  readonly tasksMax: number;
  readonly pageToken: string;
}

const sampleIdsMax = 10;

export function createControlMany(caller: Caller, namespace: string): ControlMany {
  const { method } = TaskService;

  /** Goes from page to page. A page that has to be repeated finds what it has changed before changed. */
  async function allPages<Input extends Parameters<Caller['unary']>[0]['input'], Output extends Response>(
    rpc: DescMethodUnary<Input, Output>,
    filter: TaskFilter | 'all',
    options: ControlManyOptions,
    requestOf: (page: Page) => MessageShape<Input>,
  ): Promise<ControlManyResult> {
    const { reason = '', dryRun = false, pageSize = 0, onProgress, signal } = options;
    const which = filter === 'all' ? { all: true } : { all: false, filter: narrowFilterOf(filter) };
    let result: ControlManyResult = { matched: 0, changed: 0, sampleIds: [] };
    let pageToken = '';
    do {
      signal?.throwIfAborted();
      const page = requestOf({ namespace, ...which, reason, dryRun, tasksMax: pageSize, pageToken });
      const answer = await caller.unary(rpc, page);
      result = {
        matched: result.matched + answer.matched,
        changed: result.changed + answer.changed,
        sampleIds: [...result.sampleIds, ...answer.sampleIds].slice(0, sampleIdsMax),
      };
      onProgress?.(result);
      pageToken = answer.nextPageToken;
    } while (pageToken !== '');
    return result;
  }

  return {
    cancelMany(filter, options = {}) {
      const grace = options.graceMs === undefined ? {} : { grace: durationFromMs(options.graceMs) };
      return allPages(method.cancelTasks, filter, options, (page) =>
        create(CancelTasksRequestSchema, { ...page, ...grace }),
      );
    },
    pauseMany: (filter, options = {}) =>
      allPages(method.pauseTasks, filter, options, (page) => create(PauseTasksRequestSchema, page)),
    resumeMany: (filter, options = {}) =>
      allPages(method.resumeTasks, filter, options, (page) => create(ResumeTasksRequestSchema, page)),
    skipMany: (filter, options = {}) =>
      allPages(method.skipTasks, filter, options, (page) => create(SkipTasksRequestSchema, page)),
    redriveMany: (filter, options = {}) =>
      allPages(method.redriveTasks, filter, options, (page) =>
        create(RedriveTasksRequestSchema, { ...page, tasksPerSecond: options.tasksPerSecond ?? 0 }),
      ),
    discardMany: (filter, options = {}) =>
      allPages(method.discardTasks, filter, options, (page) => create(DiscardTasksRequestSchema, page)),
  };
}
