import { create } from '@bufbuild/protobuf';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import type { Task } from '@dstc/contract/dstc/v1/task_pb';
import {
  type SubmitTaskRequest,
  SubmitTaskRequestSchema,
  type SubmitTaskResult,
  SubmitTaskResultSchema,
  type TaskService,
} from '@dstc/contract/dstc/v1/task_service_pb';
import type { Logger } from 'pino';
import { DstcError } from '../../domain/errors.ts';
import { parseTaskId } from '../../domain/ids.ts';
import { limits } from '../../domain/limits.ts';
import { isFinal } from '../../domain/task-state.ts';
import type { Control } from '../../engine/control.ts';
import type { Submit } from '../../engine/submit.ts';
import type { Watch } from '../../engine/watch.ts';
import type { Database } from '../../store/database.ts';
import { selectTaskEvents, selectTaskPage, type TaskRow } from '../../store/select-tasks.ts';
import { callerOf } from '../context.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { pageSizeOf, positionOf, positions, toPageToken } from '../convert/page-token.ts';
import { submissionOf } from '../convert/submission.ts';
import { toSubmittedTask, toTask, toTaskEvent, toTaskWithPayloads } from '../convert/task.ts';
import { taskFilterOf } from '../convert/task-filter.ts';
import { optionalMs } from '../convert/time.ts';
import { typeFilterOf } from '../convert/type-filter.ts';
import { callErrorOf, toDstcError } from '../errors.ts';
import { validateMessage } from '../validate.ts';
import { awaitTask } from './await-task.ts';
import { controlTask } from './control-task.ts';
import { permittedTask, readableTask, taskSummary } from './find-task.ts';
import { watchTasks } from './watch-tasks.ts';

export interface TaskServiceDeps {
  readonly database: Database;
  readonly submit: Submit;
  readonly control: Control;
  readonly watch: Watch;
  readonly log: Logger;
}

export function taskService(deps: TaskServiceDeps): ServiceImpl<typeof TaskService> {
  async function submitOne(request: SubmitTaskRequest, context: HandlerContext) {
    const caller = callerOf(context);
    caller.require('submit', namespaceOf(request), request.type);
    const submitted = await deps.submit(submissionOf(request, caller.principal.actor));
    if (submitted.kind === 'inserted') return { task: toSubmittedTask(submitted), alreadyExisted: false };
    const task = toTask(await taskSummary(deps, { namespace: request.namespace, id: submitted.id }));
    return { task, alreadyExisted: true };
  }

  async function submitItem(
    request: SubmitTaskRequest,
    context: HandlerContext,
  ): Promise<SubmitTaskResult | DstcError> {
    try {
      validateMessage(SubmitTaskRequestSchema, request);
      const { task, alreadyExisted } = await submitOne(request, context);
      return create(SubmitTaskResultSchema, { result: { case: 'task', value: task }, alreadyExisted });
    } catch (error) {
      return toDstcError(deps, error, { rpc: 'dstc.v1.TaskService/SubmitTasks' });
    }
  }

  return {
    submitTask: submitOne,

    async submitTasks(request, context) {
      const items = request.requests.map((item) => {
        if (item.namespace === '') item.namespace = request.namespace;
        return submitItem(item, context);
      });
      const outcomes = await Promise.all(items);
      throwIfNoneWasTried(outcomes);
      return { results: outcomes.map((outcome) => (outcome instanceof DstcError ? failedItem(outcome) : outcome)) };
    },

    async getTask(request, context) {
      return { task: visible(await readableTask(deps, request, context), context) };
    },

    async listTasks(request, context) {
      const filter = taskFilterOf(request);
      const list = ['tasks', filter];
      const size = pageSizeOf(request.pageSize);
      const beforeId = positionOf(list, request.pageToken, positions.id);
      const readable = typeFilterOf(callerOf(context).typePatterns('read', filter.namespace));
      const rows = await deps.database.query((orm) =>
        selectTaskPage(orm, { ...filter, readable }, { beforeId, size: size + 1 }),
      );
      return { tasks: rows.slice(0, size).map(toTask), nextPageToken: nextToken(list, rows, size) };
    },

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
        read: () => readableTask(deps, request, context),
      });
      return { task: visible(row, context), finished: isFinal(row.state) };
    },

    async *watchTasks(request, context) {
      for await (const row of watchTasks(deps, {
        namespace: namespaceOf(request),
        ids: request.ids.map(parseTaskId),
        mayRead: (type) => callerOf(context).may('read', namespaceOf(request), type),
        signal: context.signal,
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
  };
}

/** A batch that met a closed door fails as a whole, so that callers wait and try again as they do with any call. */
function throwIfNoneWasTried(outcomes: readonly (SubmitTaskResult | DstcError)[]): void {
  const closed = outcomes.filter(
    (outcome) => outcome instanceof DstcError && (outcome.code === 'UNAVAILABLE' || outcome.reason === 'OVERLOADED'),
  );
  if (closed.length === outcomes.length) throw closed[0];
}

function failedItem(error: DstcError): SubmitTaskResult {
  return create(SubmitTaskResultSchema, { result: { case: 'error', value: callErrorOf(error) } });
}

/** With payloads for callers that may read them. */
function visible(row: TaskRow, context: HandlerContext): Task {
  const caller = callerOf(context);
  return caller.may('read_payload', row.namespace, row.type) ? toTaskWithPayloads(row, caller.wantsJson) : toTask(row);
}

function nextToken(list: readonly unknown[], rows: readonly { readonly id: string }[], size: number): string {
  const last = rows.length > size ? rows[size - 1] : undefined;
  return last === undefined ? '' : toPageToken(list, last.id);
}
