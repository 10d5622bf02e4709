import type { HandlerContext } from '@connectrpc/connect';
import type { Permission } from '../../auth/permission.ts';
import { taskNotFound } from '../../domain/errors.ts';
import type { Database } from '../../store/database.ts';
import { selectTask, selectTaskSummaries, type TaskRow, type TaskSummary } from '../../store/select-tasks.ts';
import { callerOf } from '../context.ts';
import { namespaceOf } from '../convert/namespace.ts';

export interface FindTaskDeps {
  readonly database: Database;
}

/** What requests about single tasks have in common. */
export interface TaskRequest {
  readonly namespace: string;
  readonly id: string;
}

/** The task with its payloads, when the caller may read it. */
export async function readableTask(
  deps: FindTaskDeps,
  request: TaskRequest,
  context: HandlerContext,
): Promise<TaskRow> {
  const namespace = namespaceOf(request);
  const row = await deps.database.query((orm) => selectTask(orm, namespace, request.id));
  if (row === undefined || !callerOf(context).may('read', namespace, row.type)) throw taskNotFound(request.id);
  return row;
}

/**
 * The task, when the caller holds a permission on its type. Who may read it is told what is missing; to all others a
 * foreign task and one that is not there look the same.
 */
export async function permittedTask(
  deps: FindTaskDeps,
  request: TaskRequest,
  context: HandlerContext,
  permission: Permission,
): Promise<TaskSummary> {
  const row = await taskSummary(deps, request);
  const caller = callerOf(context);
  if (caller.may(permission, row.namespace, row.type)) return row;
  if (caller.may('read', row.namespace, row.type)) caller.require(permission, row.namespace, row.type);
  throw taskNotFound(request.id);
}

/** The task without its payloads, whoever asks. */
export async function taskSummary(deps: FindTaskDeps, request: TaskRequest): Promise<TaskSummary> {
  const [row] = await deps.database.query((orm) => selectTaskSummaries(orm, namespaceOf(request), [request.id]));
  if (row === undefined) throw taskNotFound(request.id);
  return row;
}
