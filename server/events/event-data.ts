import { enumToJson, type JsonObject, type JsonValue, toBinary, toJson } from '@bufbuild/protobuf';
import { DurationSchema } from '@bufbuild/protobuf/wkt';
import { TaskErrorSchema, TaskStateSchema } from '@dstc/contract/dstc/v1/task_pb';
import { type EventKind, eventKinds } from '../domain/lifecycle.ts';
import type { TaskState } from '../domain/task-state.ts';
import { toTaskState } from '../doors/convert/enums.ts';
import { taskDataSchemaOf, toEventData } from '../doors/convert/event.ts';
import { toTaskError } from '../doors/convert/task.ts';
import { toDuration } from '../doors/convert/time.ts';
import type { StoredEvent, StoredTaskEvent } from '../store/select-events.ts';

/** The data of an event, as the protobuf message that its type names. */
export function eventDataBinary(event: StoredEvent): Uint8Array {
  const { schema, message } = toEventData(event);
  return toBinary(schema, message);
}

/**
 * The data of an event, as the JSON form of that message. That of tasks is written without the message, which would cost
 * more than all the rest of an event on its way out; a test holds the two to be the same.
 */
export function eventDataJson(event: StoredEvent): JsonValue {
  if (event.of === 'task') return taskDataJson(event);
  const { schema, message } = toEventData(event);
  return toJson(schema, message);
}

function taskDataJson(event: StoredTaskEvent): JsonObject {
  const tells = toldBy[event.kind];
  const data: JsonObject = { task: taskJson(event) };
  if (tells.lease && event.leaseId !== null) data.lease = leaseJson(event.leaseId, event.sessionId);
  if (tells.error && event.error !== null) data.error = toJson(TaskErrorSchema, toTaskError(event.error));
  if (tells.reason && event.reason !== null && event.reason !== '') data.reason = event.reason;
  if (tells.retryDelay && event.retryDelayMs !== null) {
    data.retryDelay = toJson(DurationSchema, toDuration(event.retryDelayMs));
  }
  return data;
}

function taskJson({ position, type, state, attempt, labels }: StoredTaskEvent): JsonObject {
  const task: JsonObject = { id: position.subjectId, type, state: stateNames[state] };
  if (attempt !== 0) task.attempt = attempt;
  if (Object.keys(labels).length > 0) task.labels = labels;
  return task;
}

function leaseJson(id: string, sessionId: string | null): JsonObject {
  return sessionId === null ? { id } : { id, sessionId };
}

type Fact = 'lease' | 'error' | 'reason' | 'retryDelay';

/** Which facts the message of a kind has fields for. */
const toldBy = Object.fromEntries(
  eventKinds.map((kind) => {
    const has = (fact: Fact) => taskDataSchemaOf(kind).field[fact] !== undefined;
    return [kind, { lease: has('lease'), error: has('error'), reason: has('reason'), retryDelay: has('retryDelay') }];
  }),
) as Readonly<Record<EventKind, Readonly<Record<Fact, boolean>>>>;

const stateNames = Object.fromEntries(
  Object.entries(toTaskState).map(([state, value]) => [state, enumToJson(TaskStateSchema, value)]),
) as Readonly<Record<TaskState, string>>;
