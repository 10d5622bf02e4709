import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import type { TaskFilter as TaskFilterMessage } from '@dstc/contract/dstc/v1/task_filter_pb';
import type { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { type Caller, permissionMissing } from '../../auth/caller.ts';
import { commonPatterns, type TypePattern } from '../../auth/type-pattern.ts';
import type { ControlCommand } from '../../domain/control.ts';
import { fieldInvalid } from '../../domain/errors.ts';
import { limits } from '../../domain/limits.ts';
import type { ControlMany, Position } from '../../engine/control-many.ts';
import { callerOf } from '../context.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { positionOf, positions, toPageToken } from '../convert/page-token.ts';
import { isEmptyFilter, looksIntoTasks, type RequestedTasks, requestedTasksOf } from '../convert/task-filter.ts';
import { optionalMs } from '../convert/time.ts';
import { typeFilterOf } from '../convert/type-filter.ts';
import { permissionOfCommand } from './control-task.ts';

export interface ControlTasksDeps {
  readonly controlMany: ControlMany;
}

type ControlRpc = 'cancelTasks' | 'pauseTasks' | 'resumeTasks' | 'skipTasks' | 'redriveTasks' | 'discardTasks';

/** What the requests of all these RPCs have in common. */
interface ControlTasksRequest {
  readonly namespace: string;
  readonly filter?: TaskFilterMessage | undefined;
  readonly all: boolean;
  readonly reason: string;
  readonly dryRun: boolean;
  readonly tasksMax: number;
  readonly pageToken: string;
}

/** The RPCs that steer all tasks that match a filter. */
export function controlTasks(deps: ControlTasksDeps): Pick<ServiceImpl<typeof TaskService>, ControlRpc> {
  async function carryOut(
    command: ControlCommand,
    request: ControlTasksRequest,
    context: HandlerContext,
    options: { readonly graceMs?: number; readonly tasksPerSecond?: number } = {},
  ) {
    const caller = callerOf(context);
    const requested = requestedTasksOf(namespaceOf(request), request.filter);
    checkIsMeant(request, requested);
    const { graceMs, tasksPerSecond } = options;
    const list = [command, requested, request.dryRun, tasksPerSecond];
    const permitted = typeFilterOf(steeredTypes(caller, command, requested));
    const { matched, changed, sampleIds, position } = await deps.controlMany({
      filter: { ...requested, permitted },
      order: {
        command,
        actor: caller.principal.actor,
        reason: request.reason,
        ...(graceMs !== undefined && { graceMs }),
      },
      isDryRun: request.dryRun,
      tasksMax: request.tasksMax || limits.bulkTasksDefault,
      tasksPerSecond,
      position: parsePosition(positionOf(list, request.pageToken, positions.bulk)),
    });
    const nextPageToken = position === undefined ? '' : toPageToken(list, formatPosition(position));
    return { matched, changed, sampleIds: [...sampleIds], nextPageToken };
  }

  return {
    cancelTasks: (request, context) =>
      carryOut('cancel', request, context, {
        graceMs: optionalMs('grace', request.grace) ?? limits.cancelGraceMsDefault,
      }),
    pauseTasks: (request, context) => carryOut('pause', request, context),
    resumeTasks: (request, context) => carryOut('resume', request, context),
    skipTasks: (request, context) => carryOut('skip', request, context),
    redriveTasks: (request, context) =>
      carryOut(
        'redrive',
        request,
        context,
        request.tasksPerSecond === 0 ? {} : { tasksPerSecond: request.tasksPerSecond },
      ),
    discardTasks: (request, context) => carryOut('discard', request, context),
  };
}

/** A filter that was forgotten would be an order for everything. */
function checkIsMeant({ all }: ControlTasksRequest, requested: RequestedTasks): void {
  const isEmpty = isEmptyFilter(requested);
  if (isEmpty && !all) throw fieldInvalid('filter', 'has no condition; set all to mean every task');
  if (!isEmpty && all) throw fieldInvalid('all', 'is set together with a filter; set one of them');
}

/**
 * The types that an order is for. One that picks tasks by what only a reader may know of them, such as a label, would tell
 * it by its counts, without changing anything in a dry run: it needs `read` as well.
 */
function steeredTypes(caller: Caller, command: ControlCommand, requested: RequestedTasks): readonly TypePattern[] {
  const { namespace } = requested;
  const steered = caller.typePatterns(permissionOfCommand[command], namespace);
  if (!looksIntoTasks(requested)) return steered;
  const readable = commonPatterns(steered, caller.typePatterns('read', namespace));
  if (readable.length === 0) throw permissionMissing('read', namespace);
  return readable;
}

function formatPosition({ beganMs, changed, afterId }: Position): string {
  return `${beganMs}.${changed}.${afterId}`;
}

function parsePosition(text: string | undefined): Position | undefined {
  if (text === undefined) return undefined;
  const [beganMs, changed, afterId = ''] = text.split('.');
  return { beganMs: Number(beganMs), changed: Number(changed), afterId };
}
