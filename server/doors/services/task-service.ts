import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import type { Task } from '@dstc/contract/dstc/v1/task_pb';
import type { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { parseTaskId } from '../../domain/ids.ts';
import { limits } from '../../domain/limits.ts';
import { isFinal } from '../../domain/task-state.ts';
import type { Control } from '../../engine/control.ts';
import type { ControlMany } from '../../engine/control-many.ts';
import type { Watch } from '../../engine/watch.ts';
import { selectDependencies } from '../../store/select-dependencies.ts';
import { selectTaskEvents, type TaskRow } from '../../store/select-tasks.ts';
import { callerOf, traceParentOf } from '../context.ts';
import { toDependency } from '../convert/dependency.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { pageSizeOf, positionOf, positions, toPageToken } from '../convert/page-token.ts';
import { toTask, toTaskEvent, toTaskWithPayloads } from '../convert/task.ts';
import { optionalMs } from '../convert/time.ts';
import { awaitTask } from './await-task.ts';
import { controlTask } from './control-task.ts';
import { controlTasks } from './control-tasks.ts';
import { permittedTask, readableTask } from './find-task.ts';
import { listTasks } from './list-tasks.ts';
import { type Producer, type SubmitTasksDeps, submitTask, submitTasks } from './submit-tasks.ts';
import { watchTasks } from './watch-tasks.ts';

export interface TaskServiceDeps extends SubmitTasksDeps {
  readonly control: Control;
  readonly controlMany: ControlMany;
  readonly watch: Watch;
  /** Aborts with an error when the node shuts down. */
  readonly draining: AbortSignal;
}

export function taskService(deps: TaskServiceDeps): ServiceImpl<typeof TaskService> {
  return {
    submitTask: (request, context) => submitTask(deps, request, producerOf(context)),

    async submitTasks(request, context) {
      for (const item of request.requests) if (item.namespace === '') item.namespace = request.namespace;
      return { results: await submitTasks(deps, request.requests, producerOf(context)) };
    },

    async getTask(request, context) {
      const row = await readableTask(deps, request, context);
      const task = visible(row, context);
      if (row.dependencyCount > 0) task.dependencies = await dependenciesOf(deps, row, context);
      return { task };
    },

    ...listTasks(deps),

    async awaitTask(request, context) {
      const first = await readableTask(deps, request, context);
      const timeoutMs = Math.min(
        optionalMs('timeout', request.timeout) ?? limits.awaitTaskMsDefault,
        // Answered before the caller's own deadline, so that waiting is no error.
        (context.timeoutMs() ?? Number.POSITIVE_INFINITY) - limits.awaitTaskMarginMs,
      );
      const row = await awaitTask(deps.watch, first, {
        timeoutMs,
        signal: context.signal,
        draining: deps.draining,
        read: () => readableTask(deps, request, context),
      });
      return { task: visible(row, context), finished: isFinal(row.state) };
    },

    async *watchTasks(request, context) {
      for await (const row of watchTasks(deps, {
        namespace: namespaceOf(request),
        ids: request.ids.map(parseTaskId),
        caller: callerOf(context),
        signal: AbortSignal.any([context.signal, deps.draining]),
      })) {
        yield { task: toTask(row) };
      }
    },

    async listTaskEvents(request, context) {
      const list = ['events', namespaceOf(request), request.taskId];
      const size = pageSizeOf(request.pageSize, limits.eventPageSizeDefault);
      const task = await permittedTask(deps, { namespace: request.namespace, id: request.taskId }, context, 'read');
      const rows = await deps.database.query((orm) =>
        selectTaskEvents(orm, {
          taskId: task.id,
          since: task.createTime,
          afterSequence: Number(positionOf(list, request.pageToken, positions.sequence) ?? 0),
          size: size + 1,
        }),
      );
      const last = rows.length > size ? rows[size - 1] : undefined;
      const nextPageToken = last === undefined ? '' : toPageToken(list, String(last.sequence));
      return { events: rows.slice(0, size).map(toTaskEvent), nextPageToken };
    },

    ...controlTask(deps),
    ...controlTasks(deps),
  };
}

function producerOf(context: HandlerContext): Producer {
  return { caller: callerOf(context), traceParent: traceParentOf(context) };
}

async function dependenciesOf({ database }: TaskServiceDeps, { id, namespace }: TaskRow, context: HandlerContext) {
  const rows = await database.run((sql) => selectDependencies(sql, id));
  return rows.map((row) => toDependency(row, (type) => callerOf(context).may('read', namespace, type)));
}

/** With payloads for callers that may read them. */
function visible(row: TaskRow, context: HandlerContext): Task {
  const caller = callerOf(context);
  return caller.may('read_payload', row.namespace, row.type) ? toTaskWithPayloads(row, caller.wantsJson) : toTask(row);
}
