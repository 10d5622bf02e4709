import { create, type DescMessage, type Message, type MessageInitShape } from '@bufbuild/protobuf';
import { type Event, EventSchema } from '@dstc/contract/dstc/v1/event_pb';
import type { EventKind } from '../../domain/lifecycle.ts';
import type { SystemEventKind } from '../../domain/system-event.ts';
import type { StoredEvent, StoredSystemEvent, StoredTaskEvent } from '../../store/select-events.ts';
import { toTaskState } from './enums.ts';
import { toTaskError } from './task.ts';
import { toDuration, toTimestamp } from './time.ts';

type Data = NonNullable<MessageInitShape<typeof EventSchema>['data']>;
type DataCase = NonNullable<Exclude<Data, { case: undefined }>['case']>;

/** The data of each kind. A kind that is missing here breaks the build. */
const taskCases = {
  submitted: 'taskSubmitted',
  unblocked: 'taskUnblocked',
  leased: 'taskLeased',
  started: 'taskStarted',
  succeeded: 'taskSucceeded',
  retry_scheduled: 'taskRetryScheduled',
  failed: 'taskFailed',
  released: 'taskReleased',
  lease_lost: 'taskLeaseLost',
  cancel_requested: 'taskCancelRequested',
  cancelled: 'taskCancelled',
  paused: 'taskPaused',
  resumed: 'taskResumed',
  skipped: 'taskSkipped',
  redriven: 'taskRedriven',
  discarded: 'taskDiscarded',
} as const satisfies Record<EventKind, DataCase>;

const systemCases = {
  'task_type.applied': 'taskTypeApplied',
  'task_type.deleted': 'taskTypeDeleted',
  'task_type.paused': 'taskTypePaused',
  'task_type.resumed': 'taskTypeResumed',
  'circuit.opened': 'circuitOpened',
  'circuit.half_opened': 'circuitHalfOpened',
  'circuit.closed': 'circuitClosed',
  'namespace.paused': 'namespacePaused',
  'namespace.resumed': 'namespaceResumed',
  'worker_session.started': 'workerSessionStarted',
  'worker_session.drained': 'workerSessionDrained',
  'worker_session.ended': 'workerSessionEnded',
  'policy.changed': 'policyChanged',
} as const satisfies Record<SystemEventKind, DataCase>;

/** Such as `dstc.task.succeeded.v1`. */
export function eventTypeOf(event: Pick<StoredEvent, 'of' | 'kind'>): string {
  return event.of === 'task' ? `dstc.task.${event.kind}.v1` : `dstc.${event.kind}.v1`;
}

/** The same however often the event is delivered, and on every node. */
export function eventIdOf(event: StoredEvent): string {
  return event.of === 'task' ? `${event.position.subjectId}:${event.position.sequence}` : event.id;
}

/** The task type that an event concerns; undefined when it concerns none or several. */
export function taskTypeOf(event: StoredEvent): string | undefined {
  if (event.of === 'task') return event.type;
  return event.kind.startsWith('task_type.') || event.kind.startsWith('circuit.') ? event.subject : undefined;
}

/** Where all events of an installation come from. */
export function eventSourceOf(cell: string): string {
  return `/cells/${cell}`;
}

/** What an event is about: a task's id, or the name of something else. */
export function eventSubjectOf(event: StoredEvent): string {
  return event.of === 'task' ? event.position.subjectId : event.subject;
}

/** The event as the contract has it; `cell` is the name of this installation. */
export function toEvent(event: StoredEvent, cell: string): Event {
  return create(EventSchema, {
    id: eventIdOf(event),
    type: eventTypeOf(event),
    source: eventSourceOf(cell),
    subject: eventSubjectOf(event),
    time: toTimestamp(new Date(event.position.timeMs)),
    namespace: event.namespace,
    taskType: taskTypeOf(event) ?? '',
    sequence: event.position.sequence,
    actor: event.actor,
    traceParent: event.of === 'task' ? (event.traceParent ?? '') : '',
    data: dataOf(event),
  });
}

/** What an event tells beside its envelope, as the contract has it. */
export function toEventData(event: StoredEvent): { readonly schema: DescMessage; readonly message: Message } {
  const { case: name, value } = dataOf(event);
  if (name === undefined) throw new Error(`event ${eventIdOf(event)} has no data`);
  const schema = dataSchemaOf(name);
  return { schema, message: create(schema, value) };
}

/** The message that tells of a kind of event of tasks. */
export function taskDataSchemaOf(kind: EventKind): DescMessage {
  return dataSchemaOf(taskCases[kind]);
}

function dataSchemaOf(name: DataCase): DescMessage {
  const schema = dataSchemas.get(name);
  if (schema === undefined) throw new Error(`the contract has no message for ${name}`);
  return schema;
}

const dataSchemas = new Map(
  EventSchema.fields.flatMap((field) =>
    field.oneof?.localName === 'data' && field.message !== undefined ? [[field.localName, field.message] as const] : [],
  ),
);

function dataOf(event: StoredEvent): Data {
  return event.of === 'task' ? taskData(event) : systemData(event);
}

/** Each message takes those of the facts that it has fields for; `create` leaves the others out. */
function taskData(event: StoredTaskEvent): Data {
  const value = {
    task: {
      id: event.position.subjectId,
      type: event.type,
      state: toTaskState[event.state],
      attempt: event.attempt,
      labels: event.labels,
    },
    ...(event.leaseId === null ? {} : { lease: { id: event.leaseId, sessionId: event.sessionId ?? '' } }),
    ...(event.error === null ? {} : { error: toTaskError(event.error) }),
    ...(event.retryDelayMs === null ? {} : { retryDelay: toDuration(event.retryDelayMs) }),
    reason: event.reason ?? '',
  };
  return { case: taskCases[event.kind], value };
}

function systemData({ kind, data }: StoredSystemEvent): Data {
  const { deadline, isForced, ...rest } = data;
  const value = {
    ...rest,
    ...(isForced === undefined ? {} : { forced: isForced }),
    ...(deadline === undefined ? {} : { deadline: toTimestamp(new Date(deadline)) }),
  };
  return { case: systemCases[kind], value };
}
