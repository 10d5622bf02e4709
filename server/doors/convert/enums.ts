import {
  DependencyPolicy as DependencyPolicyProto,
  FailureKind as FailureKindProto,
  TaskEventKind as TaskEventKindProto,
  TaskState as TaskStateProto,
} from '@dstc/contract/dstc/v1/task_pb';
import type { DependencyPolicy } from '../../domain/dependency.ts';
import type { EventKind } from '../../domain/lifecycle.ts';
import type { TaskState } from '../../domain/task-state.ts';
import type { StoredError } from '../../store/schema.ts';

/** The one place where the contract's enums and the domain's names meet; a new value on either side breaks the build. */
export const toTaskState = {
  BLOCKED: TaskStateProto.BLOCKED,
  PENDING: TaskStateProto.PENDING,
  RUNNING: TaskStateProto.RUNNING,
  SUCCEEDED: TaskStateProto.SUCCEEDED,
  FAILED: TaskStateProto.FAILED,
  CANCELLED: TaskStateProto.CANCELLED,
  SKIPPED: TaskStateProto.SKIPPED,
} as const satisfies Record<TaskState, TaskStateProto>;

export const taskStateOf = {
  [TaskStateProto.UNSPECIFIED]: undefined,
  [TaskStateProto.BLOCKED]: 'BLOCKED',
  [TaskStateProto.PENDING]: 'PENDING',
  [TaskStateProto.RUNNING]: 'RUNNING',
  [TaskStateProto.SUCCEEDED]: 'SUCCEEDED',
  [TaskStateProto.FAILED]: 'FAILED',
  [TaskStateProto.CANCELLED]: 'CANCELLED',
  [TaskStateProto.SKIPPED]: 'SKIPPED',
} as const satisfies Record<TaskStateProto, TaskState | undefined>;

export const toEventKind = {
  submitted: TaskEventKindProto.SUBMITTED,
  unblocked: TaskEventKindProto.UNBLOCKED,
  leased: TaskEventKindProto.LEASED,
  started: TaskEventKindProto.STARTED,
  succeeded: TaskEventKindProto.SUCCEEDED,
  retry_scheduled: TaskEventKindProto.RETRY_SCHEDULED,
  failed: TaskEventKindProto.FAILED,
  released: TaskEventKindProto.RELEASED,
  lease_lost: TaskEventKindProto.LEASE_LOST,
  cancel_requested: TaskEventKindProto.CANCEL_REQUESTED,
  cancelled: TaskEventKindProto.CANCELLED,
  paused: TaskEventKindProto.PAUSED,
  resumed: TaskEventKindProto.RESUMED,
  skipped: TaskEventKindProto.SKIPPED,
  redriven: TaskEventKindProto.REDRIVEN,
  discarded: TaskEventKindProto.DISCARDED,
} as const satisfies Record<EventKind, TaskEventKindProto>;

export const toFailureKind = {
  TRANSIENT: FailureKindProto.TRANSIENT,
  PERMANENT: FailureKindProto.PERMANENT,
  FATAL: FailureKindProto.FATAL,
} as const satisfies Record<StoredError['kind'], FailureKindProto>;

export const failureKindOf = {
  [FailureKindProto.UNSPECIFIED]: 'TRANSIENT',
  [FailureKindProto.TRANSIENT]: 'TRANSIENT',
  [FailureKindProto.PERMANENT]: 'PERMANENT',
  [FailureKindProto.FATAL]: 'FATAL',
} as const satisfies Record<FailureKindProto, StoredError['kind']>;

export const toDependencyPolicy = {
  cancel: DependencyPolicyProto.CANCEL,
  continue: DependencyPolicyProto.CONTINUE,
  block: DependencyPolicyProto.BLOCK,
} as const satisfies Record<DependencyPolicy, DependencyPolicyProto>;

export const dependencyPolicyOf = {
  [DependencyPolicyProto.UNSPECIFIED]: 'cancel',
  [DependencyPolicyProto.CANCEL]: 'cancel',
  [DependencyPolicyProto.CONTINUE]: 'continue',
  [DependencyPolicyProto.BLOCK]: 'block',
} as const satisfies Record<DependencyPolicyProto, DependencyPolicy>;
