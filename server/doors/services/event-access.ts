import type { Caller } from '../../auth/caller.ts';
import type { StoredEvent } from '../../store/select-events.ts';
import { taskTypeOf } from '../convert/event.ts';

/** Whether a caller may get an event, by the policy of the moment. */
export function mayReceive(caller: Caller, namespace: string, event: StoredEvent): boolean {
  const taskType = taskTypeOf(event);
  if (taskType !== undefined) return caller.may('read', namespace, taskType);
  const operatesAll = () => caller.typePatterns('operate', namespace).includes('*');
  const types = event.of === 'system' ? event.sessionTypes : undefined;
  // A session whose beginning is not known any more may have been of any type.
  return types === undefined || types.length === 0
    ? operatesAll()
    : types.every((type) => caller.may('operate', namespace, type));
}
