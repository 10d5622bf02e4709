import type { ServiceImpl } from '@connectrpc/connect';
import type { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { fieldInvalid, taskTypeNotFound } from '../../domain/errors.ts';
import { limits } from '../../domain/limits.ts';
import type { TaskTypes } from '../../engine/task-types.ts';
import type { Database } from '../../store/database.ts';
import { selectTaskType, selectTaskTypePage } from '../../store/task-types.ts';
import { callerOf } from '../context.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { pageSizeOf, positionOf, positions, toPageToken } from '../convert/page-token.ts';
import { taskTypeOf, toTaskType } from '../convert/task-type.ts';
import { typeFilterOf } from '../convert/type-filter.ts';

export interface TaskTypeServiceDeps {
  readonly database: Database;
  readonly types: TaskTypes;
}

export function taskTypeService(deps: TaskTypeServiceDeps): ServiceImpl<typeof TaskTypeService> {
  return {
    async applyTaskType({ taskType }, context) {
      if (taskType === undefined) throw fieldInvalid('task_type', 'is required');
      callerOf(context).require('configure', namespaceOf(taskType), taskType.name);
      const row = await deps.types.apply(taskTypeOf(taskType), taskType.etag || undefined);
      return { taskType: toTaskType(row) };
    },

    async getTaskType(request, context) {
      const namespace = namespaceOf(request);
      if (!callerOf(context).may('read', namespace, request.name)) throw taskTypeNotFound(request.name);
      const row = await deps.database.query((orm) => selectTaskType(orm, namespace, request.name));
      if (row === undefined) throw taskTypeNotFound(request.name);
      return { taskType: toTaskType(row) };
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
      return { taskTypes: rows.slice(0, size).map(toTaskType), nextPageToken };
    },
  };
}
