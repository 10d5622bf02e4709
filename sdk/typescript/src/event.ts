import { type Duration, durationMs } from '@bufbuild/protobuf/wkt';
import type { Event as ContractEvent } from '@dstc/contract/dstc/v1/event_pb';
import type { SubscribedEvent } from '@dstc/contract/dstc/v1/event_service_pb';
import type { EventTask as ContractEventTask } from '@dstc/contract/dstc/v1/task_event_data_pb';
import { dateOf, stateNameOf, type TaskError, type TaskState, taskErrorOf } from './task.ts';

/** What is known of a task when something happens to it. */
export interface EventTask {
  readonly id: string;
  readonly type: string;
  /** After the event. */
  readonly state: TaskState;
  /** The attempt it concerns; 0 when none. */
  readonly attempt: number;
  /** Empty once the task is deleted. */
  readonly labels: Readonly<Record<string, string>>;
}

/** Who held the task. */
export interface EventLease {
  readonly id: string;
  readonly sessionId: string;
}

interface OfTask {
  readonly task: EventTask | undefined;
}
interface OfLease extends OfTask {
  readonly lease: EventLease | undefined;
}
interface WithReason {
  readonly reason: string;
}
interface WithError {
  readonly error: TaskError | undefined;
}
interface WithDelay {
  /** The wait before the task may be leased again. */
  readonly retryDelayMs: number | undefined;
}

/** The data of each kind of event. */
export interface EventData {
  'task.submitted': OfTask;
  'task.unblocked': OfTask;
  'task.leased': OfLease;
  'task.started': OfLease;
  'task.succeeded': OfLease;
  'task.retry_scheduled': OfLease & WithError & WithReason & WithDelay;
  'task.failed': OfLease & WithError & WithReason;
  'task.released': OfLease & WithReason & WithDelay;
  'task.lease_lost': OfLease & WithError & WithReason & WithDelay;
  'task.cancel_requested': OfLease & WithReason;
  'task.cancelled': OfLease & WithError & WithReason;
  'task.paused': OfLease & WithReason;
  'task.resumed': OfLease & WithReason;
  'task.skipped': OfTask & WithReason;
  'task.redriven': OfTask & WithReason & WithDelay;
  'task.discarded': OfTask & WithReason;
  'task_type.applied': { readonly etag: string };
  'task_type.deleted': { readonly etag: string };
  'task_type.paused': WithReason;
  'task_type.resumed': WithReason;
  'circuit.opened': WithReason & { readonly forced: boolean };
  'circuit.half_opened': WithReason;
  'circuit.closed': WithReason & { readonly forced: boolean };
  'namespace.paused': WithReason;
  'namespace.resumed': WithReason;
  'worker_session.started': {
    /** Slots by task type. */
    readonly taskTypes: Readonly<Record<string, number>>;
    readonly labels: Readonly<Record<string, string>>;
    readonly node: string;
  };
  'worker_session.drained': WithReason & { readonly deadline: Date | undefined };
  'worker_session.ended': WithReason;
  'policy.changed': { readonly digest: string; readonly node: string };
}

/** What happened, as its type says between `dstc.` and the version. */
export type DstcEventKind = keyof EventData;

interface EventBase {
  /** The same however often the event is delivered. */
  readonly id: string;
  /** Such as `dstc.task.succeeded.v1`. */
  readonly type: string;
  /** The installation that it comes from, such as `/cells/dstc`. */
  readonly source: string;
  /** What it is about: the id of a task or a worker session, the name of a task type or a namespace, `policy`. */
  readonly subject: string;
  readonly time: Date | undefined;
  /** Empty for the policy. */
  readonly namespace: string;
  /** Empty when it concerns none or several. */
  readonly taskType: string;
  /** 1, 2, 3 … without a gap, for each subject. */
  readonly sequence: number;
  readonly actor: string;
  /** Of the task's submission; empty without one. */
  readonly traceParent: string;
  /** Where to go on after this event, on any node. */
  readonly cursor: string;
}

/** An event of one kind. */
export type DstcEventOf<Kind extends DstcEventKind> = {
  [K in Kind]: EventBase & { readonly kind: K; readonly data: EventData[K] };
}[Kind];

/** An event. Its `kind` says which data it has; `unknown` is one that this version of the SDK does not know. */
export type DstcEvent =
  | DstcEventOf<DstcEventKind>
  | (EventBase & { readonly kind: 'unknown'; readonly data: undefined });

type DataCase = Exclude<ContractEvent['data']['case'], undefined>;

// A kind that the contract gains breaks the build here.
const kindOfCase = {
  taskSubmitted: 'task.submitted',
  taskUnblocked: 'task.unblocked',
  taskLeased: 'task.leased',
  taskStarted: 'task.started',
  taskSucceeded: 'task.succeeded',
  taskRetryScheduled: 'task.retry_scheduled',
  taskFailed: 'task.failed',
  taskReleased: 'task.released',
  taskLeaseLost: 'task.lease_lost',
  taskCancelRequested: 'task.cancel_requested',
  taskCancelled: 'task.cancelled',
  taskPaused: 'task.paused',
  taskResumed: 'task.resumed',
  taskSkipped: 'task.skipped',
  taskRedriven: 'task.redriven',
  taskDiscarded: 'task.discarded',
  taskTypeApplied: 'task_type.applied',
  taskTypeDeleted: 'task_type.deleted',
  taskTypePaused: 'task_type.paused',
  taskTypeResumed: 'task_type.resumed',
  circuitOpened: 'circuit.opened',
  circuitHalfOpened: 'circuit.half_opened',
  circuitClosed: 'circuit.closed',
  namespacePaused: 'namespace.paused',
  namespaceResumed: 'namespace.resumed',
  workerSessionStarted: 'worker_session.started',
  workerSessionDrained: 'worker_session.drained',
  workerSessionEnded: 'worker_session.ended',
  policyChanged: 'policy.changed',
} as const satisfies Record<DataCase, DstcEventKind>;

/** Undefined when the coordinator sent none. */
export function eventOf({ event, cursor }: SubscribedEvent): DstcEvent | undefined {
  if (event === undefined) return undefined;
  const { id, type, source, subject, namespace, taskType, sequence, actor, traceParent, data } = event;
  const base: EventBase = {
    ...{ id, type, source, subject, time: dateOf(event.time), namespace, taskType, sequence, actor, traceParent },
    cursor,
  };
  if (data.case === undefined) return { ...base, kind: 'unknown', data: undefined };
  // The two tables above say that the data is of the kind.
  return { ...base, kind: kindOfCase[data.case], data: dataOf(data.value) } as DstcEvent;
}

/** The fields of a message, those that have another form here in that form. */
function dataOf(message: NonNullable<ContractEvent['data']['value']>): object {
  const { $typeName: _, $unknown: __, ...data } = message;
  const { retryDelay, ...rest }: typeof data & { retryDelay?: Duration | undefined } = data;
  return {
    ...rest,
    ...('task' in data && { task: data.task && eventTaskOf(data.task) }),
    ...('lease' in data && { lease: data.lease && { id: data.lease.id, sessionId: data.lease.sessionId } }),
    ...('error' in data && { error: data.error && taskErrorOf(data.error) }),
    ...('deadline' in data && { deadline: dateOf(data.deadline) }),
    ...(retryDelay !== undefined && { retryDelayMs: durationMs(retryDelay) }),
  };
}

function eventTaskOf({ id, type, state, attempt, labels }: ContractEventTask): EventTask {
  return { id, type, state: stateNameOf(state), attempt, labels };
}
