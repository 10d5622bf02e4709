import { create } from '@bufbuild/protobuf';
import { type Dependency, DependencySchema } from '@dstc/contract/dstc/v1/task_pb';
import { type DependencyResult, DependencyResultSchema } from '@dstc/contract/dstc/v1/worker_service_pb';
import type { DependencyResultRow, DependencyRow } from '../../store/select-dependencies.ts';
import { toDependencyPolicy, toTaskState } from './enums.ts';
import { toPayload } from './payload.ts';
import { toTaskError } from './task.ts';

/** What a task depends on; of a type that the caller may not read, only that it does. */
export function toDependency(row: DependencyRow, mayRead: (type: string) => boolean): Dependency {
  const dependency = create(DependencySchema, {
    taskId: row.taskId,
    onFailure: toDependencyPolicy[row.policy],
    waiting: row.waits,
  });
  if (row.type === null || row.state === null || !mayRead(row.type)) return dependency;
  dependency.taskType = row.type;
  dependency.state = toTaskState[row.state];
  return dependency;
}

export function toDependencyResult(row: DependencyResultRow, wantsJson: boolean): DependencyResult {
  const result = create(DependencyResultSchema, {
    taskId: row.taskId,
    taskType: row.type ?? '',
    outputWithheld: row.isWithheld,
  });
  if (row.state !== null) result.state = toTaskState[row.state];
  if (row.output !== null) {
    result.output = toPayload({ data: row.output, contentType: row.outputContentType ?? '' }, wantsJson);
  }
  if (row.error !== null) result.error = toTaskError(row.error);
  return result;
}
