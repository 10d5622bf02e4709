import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import type { TaskType } from '@dstc/contract/dstc/v1/task_type_pb';
import type { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { fieldInvalid, taskTypeNotFound } from '../../domain/errors.ts';
import { limits } from '../../domain/limits.ts';
import type { GateChange, Gates } from '../../engine/gates.ts';
import type { TaskTypes } from '../../engine/task-types.ts';
import type { Database } from '../../store/database.ts';
import { selectGates } from '../../store/gates.ts';
import { type QueueStatus, selectQueueStatus } from '../../store/queue-status.ts';
import { selectTaskType, selectTaskTypePage, type TaskTypeRow } from '../../store/task-types.ts';
import { callerOf } from '../context.ts';
import { setCircuitOf } from '../convert/circuit.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { pageSizeOf, positionOf, positions, toPageToken } from '../convert/page-token.ts';
import { taskTypeOf, toTaskType } from '../convert/task-type.ts';
import { typeFilterOf } from '../convert/type-filter.ts';

export interface TaskTypeServiceDeps {
  readonly database: Database;
  readonly types: TaskTypes;
  readonly gates: Gates;
}

export function taskTypeService(deps: TaskTypeServiceDeps): ServiceImpl<typeof TaskTypeService> {
  return {
    async applyTaskType({ taskType }, context) {
      if (taskType === undefined) throw fieldInvalid('task_type', 'is required');
      const caller = callerOf(context);
      caller.require('configure', namespaceOf(taskType), taskType.name);
      const by = { actor: caller.principal.actor, expectedEtag: taskType.etag || undefined };
      const row = await deps.types.apply(taskTypeOf(taskType), by);
      return { taskType: await described(deps, row) };
    },

    async getTaskType(request, context) {
      const namespace = namespaceOf(request);
      if (!callerOf(context).may('read', namespace, request.name)) throw taskTypeNotFound(request.name);
      const { name: type } = request;
      const queue = deps.database.query((orm) => selectQueueStatus(orm, { namespace, type }, limits.statusCountMax));
      // Whichever fails first is the answer.
      const [row, status] = await Promise.all([typeRow(deps, namespace, type), queue]);
      return { taskType: await described(deps, row, status) };
    },

    async listTaskTypes(request, context) {
      const namespace = namespaceOf(request);
      const list = ['task types', namespace];
      const size = pageSizeOf(request.pageSize, limits.typePageSizeDefault);
      const patterns = callerOf(context).typePatterns('read', namespace);
      const rows = await deps.database.query((orm) =>
        selectTaskTypePage(
          orm,
          { namespace, readable: typeFilterOf(patterns) },
          { afterName: positionOf(list, request.pageToken, positions.name), size: size + 1 },
        ),
      );
      const last = rows.length > size ? rows[size - 1] : undefined;
      const nextPageToken = last === undefined ? '' : toPageToken(list, last.name);
      return { taskTypes: await withStatus(deps, namespace, rows.slice(0, size)), nextPageToken };
    },

    async deleteTaskType(request, context) {
      const namespace = namespaceOf(request);
      const { name } = request;
      const caller = callerOf(context);
      caller.require('configure', namespace, name);
      const by = { actor: caller.principal.actor, expectedEtag: request.etag || undefined };
      await deps.types.delete({ namespace, name }, by);
      return {};
    },

    async pauseTaskType(request, context) {
      const change = permittedChange(request, context);
      await deps.gates.pause(change);
      return { taskType: await read(deps, change.namespace, change.type) };
    },

    async resumeTaskType(request, context) {
      const change = permittedChange(request, context);
      await deps.gates.resume(change);
      return { taskType: await read(deps, change.namespace, change.type) };
    },

    async setTaskTypeCircuit(request, context) {
      const change = permittedChange(request, context);
      await deps.gates.setCircuit(change, setCircuitOf[request.mode]);
      return { taskType: await read(deps, change.namespace, change.type) };
    },
  };
}

function permittedChange(
  request: { readonly namespace: string; readonly name: string; readonly reason: string },
  context: HandlerContext,
): GateChange {
  const caller = callerOf(context);
  const namespace = namespaceOf(request);
  caller.require('pause', namespace, request.name);
  return { namespace, type: request.name, actor: caller.principal.actor, reason: request.reason };
}

async function read(deps: TaskTypeServiceDeps, namespace: string, name: string): Promise<TaskType> {
  return described(deps, await typeRow(deps, namespace, name));
}

async function typeRow({ database }: TaskTypeServiceDeps, namespace: string, name: string): Promise<TaskTypeRow> {
  const row = await database.query((orm) => selectTaskType(orm, namespace, name));
  if (row === undefined || row.deleteTime !== null) throw taskTypeNotFound(name);
  return row;
}

async function described(deps: TaskTypeServiceDeps, row: TaskTypeRow, queue?: QueueStatus): Promise<TaskType> {
  const [taskType] = await withStatus(deps, row.namespace, [row], queue);
  if (taskType === undefined) throw new Error('one task type became none');
  return taskType;
}

/** Task types of one namespace with how they stand now. */
async function withStatus(
  { database }: TaskTypeServiceDeps,
  namespace: string,
  rows: readonly TaskTypeRow[],
  queue?: QueueStatus,
): Promise<TaskType[]> {
  const names = rows.map((row) => row.name);
  const gates = await database.query((orm) => selectGates(orm, namespace, names));
  const gateOf = new Map(gates.map((gate) => [gate.type, gate]));
  return rows.map((row) =>
    toTaskType(row, {
      gate: gateOf.get(row.name),
      namespaceGate: gateOf.get(''),
      ...(queue !== undefined && { queue }),
    }),
  );
}
