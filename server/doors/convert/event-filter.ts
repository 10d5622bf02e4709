import type { EventFilter as EventFilterMessage } from '@dstc/contract/dstc/v1/event_service_pb';
import { fieldInvalid } from '../../domain/errors.ts';
import { parseTaskId } from '../../domain/ids.ts';
import { type EventFilter, isEventType } from '../../events/event-filter.ts';
import { labelConditionsOf } from './task-filter.ts';

/** Throws FIELD_INVALID for a type that no event has: it would be silence that looks like nothing happens. */
export function eventFilterOf(message: EventFilterMessage | undefined, field = 'filter'): EventFilter {
  const types = message?.types ?? [];
  for (const [index, type] of types.entries()) {
    if (!isEventType(type)) throw fieldInvalid(`${field}.types[${index}]`, 'is a type that no event has');
  }
  return {
    types,
    taskTypes: message?.taskTypes ?? [],
    taskIds: message?.taskIds.map(parseTaskId) ?? [],
    labels: labelConditionsOf(message),
  };
}
