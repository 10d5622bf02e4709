import type { ListTasksRequest } from '@dstc/contract/dstc/v1/task_service_pb';
import { fieldInvalid } from '../../domain/errors.ts';
import type { TaskFilter } from '../../store/select-tasks.ts';
import { taskStateOf } from './enums.ts';
import { namespaceOf } from './namespace.ts';
import { optionalDate } from './time.ts';

/**
 * What a list is asked for. In an order of its own, because page tokens are tied to it and clients write the entries of a
 * map in any order.
 */
export function taskFilterOf(request: ListTasksRequest): Omit<TaskFilter, 'readable'> {
  const labels = Object.entries(request.labels).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [key] of labels) {
    // Postgres has no text with NUL in it.
    if (key.includes('\0'))
      throw fieldInvalid(`labels[${JSON.stringify(key)}]`, 'key: no label has control characters');
  }
  return {
    namespace: namespaceOf(request),
    types: request.types.toSorted(),
    states: request.states.flatMap((state) => taskStateOf[state] ?? []).toSorted(),
    labels: Object.fromEntries(labels),
    createdAfter: optionalDate('created_after', request.createdAfter),
    createdBefore: optionalDate('created_before', request.createdBefore),
  };
}
