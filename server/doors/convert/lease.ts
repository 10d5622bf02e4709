import { create } from '@bufbuild/protobuf';
import { ErrorReason } from '@dstc/contract/dstc/v1/error_pb';
import {
  type Assignment,
  AssignmentSchema,
  type Cancels_Item,
  Cancels_ItemSchema,
  type LeaseRef,
  LeaseRefSchema,
  type Reconciled_Item,
  Reconciled_ItemSchema,
  ReconciliationVerdict,
  type Settlement as SettlementMessage,
  SettlementOutcome,
  SettlementSchema,
  type Stop,
  StopSchema,
} from '@dstc/contract/dstc/v1/worker_pb';
import type { DstcError } from '../../domain/errors.ts';
import { type Fence, parseLeaseId, parseTaskId } from '../../domain/ids.ts';
import type { Settlement } from '../../engine/report.ts';
import type { Reconciliation, Verdict } from '../../engine/sessions.ts';
import type { LeasedTask } from '../../store/lease-tasks.ts';
import type { CancelNotice, DrainNotice } from '../../store/sessions.ts';
import { reasonProto } from '../errors.ts';
import { toTaskState } from './enums.ts';
import { toPayload } from './payload.ts';
import { toDuration, toTimestamp } from './time.ts';

/** The contract's rules have seen that both ids are UUIDs. */
export function fenceOf(lease: LeaseRef): Fence {
  return { taskId: parseTaskId(lease.taskId), attempt: lease.attempt, leaseId: parseLeaseId(lease.leaseId) };
}

function toLeaseRef(fence: { readonly taskId: string; readonly attempt: number; readonly leaseId: string }): LeaseRef {
  return create(LeaseRefSchema, { taskId: fence.taskId, attempt: fence.attempt, leaseId: fence.leaseId });
}

export function toAssignment(task: LeasedTask, wantsJson: boolean): Assignment {
  const assignment = create(AssignmentSchema, {
    lease: toLeaseRef(task.fence),
    taskType: task.type,
    input: toPayload({ data: task.input, contentType: task.inputContentType }, wantsJson),
    labels: task.labels,
    attemptsMax: task.attemptsMax,
    priority: task.priority,
    createTime: toTimestamp(task.createTime),
    runTimeout: toDuration(task.runMs),
    dependencyCount: task.dependencyCount,
    traceParent: task.traceParent ?? '',
  });
  if (task.heartbeatMs !== null) assignment.heartbeatTimeout = toDuration(task.heartbeatMs);
  if (task.checkpoint !== null) assignment.checkpoint = task.checkpoint;
  return assignment;
}

const toOutcome = {
  recorded: SettlementOutcome.RECORDED,
  'already recorded': SettlementOutcome.ALREADY_RECORDED,
  'lease lost': SettlementOutcome.LEASE_LOST,
  'not allowed': SettlementOutcome.REFUSED,
  'task not found': SettlementOutcome.REFUSED,
} as const satisfies Record<Settlement['outcome'], SettlementOutcome>;

export function toSettlement(fence: Fence, settlement: Settlement): SettlementMessage {
  const message = create(SettlementSchema, { lease: toLeaseRef(fence), outcome: toOutcome[settlement.outcome] });
  if (settlement.outcome === 'recorded') message.state = toTaskState[settlement.state];
  if (settlement.outcome === 'lease lost') message.error = ErrorReason.LEASE_LOST;
  if (settlement.outcome === 'task not found') {
    message.error = ErrorReason.TASK_NOT_FOUND;
    message.message = `there is no task ${fence.taskId} that you may see`;
  }
  if (settlement.outcome === 'not allowed') {
    message.error = ErrorReason.STATE_CONFLICT;
    message.message = `nobody asked to cancel task ${fence.taskId}`;
  }
  return message;
}

/** A report that is wrong in itself. */
export function toRefusal(fence: Fence, error: DstcError): SettlementMessage {
  return create(SettlementSchema, {
    lease: toLeaseRef(fence),
    outcome: SettlementOutcome.REFUSED,
    error: reasonProto[error.reason],
    message: error.message,
  });
}

export function toCancel(notice: CancelNotice): Cancels_Item {
  return create(Cancels_ItemSchema, {
    lease: toLeaseRef(notice),
    reason: notice.reason ?? '',
    grace: toDuration(Math.round(notice.graceMs)),
  });
}

export function toStop({ reason, leftMs }: DrainNotice): Stop {
  const stop = create(StopSchema, { reason });
  if (leftMs !== null) stop.within = toDuration(Math.max(0, Math.round(leftMs)));
  return stop;
}

const toVerdict = {
  keep: ReconciliationVerdict.KEEP,
  drop: ReconciliationVerdict.DROP,
  'already finished': ReconciliationVerdict.ALREADY_FINISHED,
} as const satisfies Record<Verdict, ReconciliationVerdict>;

export function toReconciled({ fence, verdict }: Reconciliation): Reconciled_Item {
  return create(Reconciled_ItemSchema, { lease: toLeaseRef(fence), verdict: toVerdict[verdict] });
}
