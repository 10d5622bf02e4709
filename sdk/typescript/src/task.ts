import { durationMs, type Timestamp, timestampDate } from '@bufbuild/protobuf/wkt';
import {
  TaskEventKind as ContractEventKind,
  FailureKind as ContractKind,
  DependencyPolicy as ContractPolicy,
  TaskState as ContractState,
  type Task as ContractTask,
  type TaskError as ContractTaskError,
  type TaskEvent as ContractTaskEvent,
} from '@dstc/contract/dstc/v1/task_pb';
import { decodePayload } from './payload.ts';
import type { OnFailure } from './submission.ts';

/** Where a task is in its life. `UNSPECIFIED` stands for a state that this version of the SDK does not know. */
export type TaskState = keyof typeof ContractState;
/** How a failure is treated. */
export type FailureKind = keyof typeof ContractKind;
/** What happened to a task. */
export type TaskEventKind = keyof typeof ContractEventKind;

/** Why an attempt or a task failed. */
export interface TaskError {
  /** A stable identifier, such as `PROVIDER_TIMEOUT`. */
  readonly code: string;
  readonly message: string;
  readonly kind: FailureKind;
}

/** How far a running attempt has come. */
export interface TaskProgress {
  /** 0 to 100. */
  readonly percent: number;
  readonly message: string;
}

/** One unit of work, as it was when it was read. */
export interface Task {
  readonly id: string;
  readonly namespace: string;
  readonly type: string;
  readonly state: TaskState;
  /** 0 to 9; higher goes first. */
  readonly priority: number;
  readonly labels: Readonly<Record<string, string>>;
  /** A JSON value or a BinaryPayload; undefined in lists, and for callers that may not read payloads. */
  readonly input: unknown;
  /** As for `input`, once SUCCEEDED. */
  readonly output: unknown;
  /** The last failure, if any attempt failed. */
  readonly error: TaskError | undefined;
  /** The current or last attempt, from 1; 0 before the first. */
  readonly attempt: number;
  readonly attemptsMax: number;
  readonly createTime: Date | undefined;
  readonly availableTime: Date | undefined;
  readonly startedTime: Date | undefined;
  readonly finishedTime: Date | undefined;
  readonly idempotencyKey: string;
  readonly progress: TaskProgress | undefined;
  readonly cancelRequested: boolean;
  /** The sequence of its last event; grows with every change. */
  readonly eventSequence: number;
  readonly creator: string;
  /** Whose turns and limits it counts for; empty without a key. */
  readonly limitKey: string;
  /** Not started until it is resumed. */
  readonly paused: boolean;
  /** What failures of one cause have in common; empty without a failure. */
  readonly errorFingerprint: string;
  /** Failed, and a dead letter no more. */
  readonly discarded: boolean;
  /** What it depends on, in the order of its submission; empty in lists. */
  readonly dependencies: readonly Dependency[];
}

/** A task that another one depends on, as it is now. */
export interface Dependency {
  readonly taskId: string;
  /** Empty for callers that may not read it, and once it has outlived its retention. */
  readonly type: string;
  /** `UNSPECIFIED` where the type is empty. */
  readonly state: TaskState;
  readonly onFailure: OnFailure;
  /** Whether it is still waited for. */
  readonly waiting: boolean;
}

/** One immutable fact of a task's history. */
export interface TaskEvent {
  readonly taskId: string;
  /** 1, 2, 3 … without a gap. */
  readonly sequence: number;
  readonly kind: TaskEventKind;
  readonly time: Date | undefined;
  /** The task's state after it. */
  readonly state: TaskState;
  /** The attempt it concerns; 0 when none. */
  readonly attempt: number;
  readonly actor: string;
  readonly leaseId: string;
  readonly sessionId: string;
  readonly error: TaskError | undefined;
  readonly reason: string;
  /** The wait before the next attempt, for kinds that have one. */
  readonly retryDelayMs: number | undefined;
}

/** Whether a task in this state has ended. */
export function isFinal(state: TaskState): boolean {
  return state === 'SUCCEEDED' || state === 'FAILED' || state === 'CANCELLED' || state === 'SKIPPED';
}

export function taskOf(task: ContractTask): Task {
  return {
    id: task.id,
    namespace: task.namespace,
    type: task.type,
    state: stateNameOf(task.state),
    priority: task.priority,
    labels: task.labels,
    input: decodePayload(task.input),
    output: decodePayload(task.output),
    error: task.error && taskErrorOf(task.error),
    attempt: task.attempt,
    attemptsMax: task.attemptsMax,
    createTime: dateOf(task.createTime),
    availableTime: dateOf(task.availableTime),
    startedTime: dateOf(task.startedTime),
    finishedTime: dateOf(task.finishedTime),
    idempotencyKey: task.idempotencyKey,
    progress: task.progress && { percent: task.progress.percent, message: task.progress.message },
    cancelRequested: task.cancelRequested,
    eventSequence: task.eventSequence,
    creator: task.creator,
    limitKey: task.limitKey,
    paused: task.paused,
    errorFingerprint: task.errorFingerprint,
    discarded: task.discarded,
    dependencies: task.dependencies.map(({ taskId, taskType, state, onFailure, waiting }) => ({
      taskId,
      type: taskType,
      state: stateNameOf(state),
      onFailure: policyNames[onFailure] ?? 'cancel',
      waiting,
    })),
  };
}

/** The task of an answer that always has one. */
export function presentTask(task: ContractTask | undefined): Task {
  if (task === undefined) throw new Error('the coordinator answered without a task');
  return taskOf(task);
}

export function taskEventOf(event: ContractTaskEvent): TaskEvent {
  return {
    taskId: event.taskId,
    sequence: event.sequence,
    kind: eventKindNames[event.kind] ?? 'UNSPECIFIED',
    time: dateOf(event.time),
    state: stateNameOf(event.state),
    attempt: event.attempt,
    actor: event.actor,
    leaseId: event.leaseId,
    sessionId: event.sessionId,
    error: event.error && taskErrorOf(event.error),
    reason: event.reason,
    retryDelayMs: event.retryDelay && durationMs(event.retryDelay),
  };
}

export function stateNameOf(state: ContractState): TaskState {
  return stateNames[state] ?? 'UNSPECIFIED';
}

export function taskErrorOf({ code, message, kind }: ContractTaskError): TaskError {
  return { code, message, kind: failureKindNames[kind] ?? 'UNSPECIFIED' };
}

export function dateOf(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp && timestampDate(timestamp);
}

// A value that the contract gains breaks the build here; a value that only the coordinator knows becomes UNSPECIFIED.
const stateNames = {
  [ContractState.UNSPECIFIED]: 'UNSPECIFIED',
  [ContractState.BLOCKED]: 'BLOCKED',
  [ContractState.PENDING]: 'PENDING',
  [ContractState.RUNNING]: 'RUNNING',
  [ContractState.SUCCEEDED]: 'SUCCEEDED',
  [ContractState.FAILED]: 'FAILED',
  [ContractState.CANCELLED]: 'CANCELLED',
  [ContractState.SKIPPED]: 'SKIPPED',
} as const satisfies Record<ContractState, TaskState>;

const policyNames = {
  [ContractPolicy.UNSPECIFIED]: 'cancel',
  [ContractPolicy.CANCEL]: 'cancel',
  [ContractPolicy.CONTINUE]: 'continue',
  [ContractPolicy.BLOCK]: 'block',
} as const satisfies Record<ContractPolicy, OnFailure>;

const failureKindNames = {
  [ContractKind.UNSPECIFIED]: 'UNSPECIFIED',
  [ContractKind.TRANSIENT]: 'TRANSIENT',
  [ContractKind.PERMANENT]: 'PERMANENT',
  [ContractKind.FATAL]: 'FATAL',
} as const satisfies Record<ContractKind, FailureKind>;

const eventKindNames = {
  [ContractEventKind.UNSPECIFIED]: 'UNSPECIFIED',
  [ContractEventKind.SUBMITTED]: 'SUBMITTED',
  [ContractEventKind.UNBLOCKED]: 'UNBLOCKED',
  [ContractEventKind.LEASED]: 'LEASED',
  [ContractEventKind.STARTED]: 'STARTED',
  [ContractEventKind.SUCCEEDED]: 'SUCCEEDED',
  [ContractEventKind.RETRY_SCHEDULED]: 'RETRY_SCHEDULED',
  [ContractEventKind.FAILED]: 'FAILED',
  [ContractEventKind.RELEASED]: 'RELEASED',
  [ContractEventKind.LEASE_LOST]: 'LEASE_LOST',
  [ContractEventKind.CANCEL_REQUESTED]: 'CANCEL_REQUESTED',
  [ContractEventKind.CANCELLED]: 'CANCELLED',
  [ContractEventKind.SKIPPED]: 'SKIPPED',
  [ContractEventKind.REDRIVEN]: 'REDRIVEN',
  [ContractEventKind.PAUSED]: 'PAUSED',
  [ContractEventKind.RESUMED]: 'RESUMED',
  [ContractEventKind.DISCARDED]: 'DISCARDED',
} as const satisfies Record<ContractEventKind, TaskEventKind>;
