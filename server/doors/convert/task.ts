import { create } from '@bufbuild/protobuf';
import {
  type Task,
  type TaskError,
  TaskErrorSchema,
  type TaskEvent,
  TaskEventSchema,
  TaskProgressSchema,
  TaskSchema,
} from '@dstc/contract/dstc/v1/task_pb';
import type { Submitted } from '../../engine/submit.ts';
import type { StoredError } from '../../store/schema.ts';
import type { TaskEventRow, TaskRow, TaskSummary } from '../../store/select-tasks.ts';
import { toEventKind, toFailureKind, toTaskState } from './enums.ts';
import { toPayload } from './payload.ts';
import { toDuration, toTimestamp } from './time.ts';

/** A task without its payloads. */
export function toTask(row: TaskSummary): Task {
  const task = create(TaskSchema, {
    id: row.id,
    namespace: row.namespace,
    type: row.type,
    state: toTaskState[row.state],
    priority: row.priority,
    labels: row.labels,
    attempt: row.attempt,
    attemptsMax: row.attemptsMax,
    createTime: toTimestamp(row.createTime),
    availableTime: toTimestamp(row.availableTime),
    idempotencyKey: row.idempotencyKey ?? '',
    cancelRequested: row.cancelDeadline !== null,
    eventSequence: row.eventSequence,
    creator: row.creator,
    paused: row.pausedTime !== null,
    errorFingerprint: row.errorFingerprint ?? '',
    discarded: row.discardedTime !== null,
    limitKey: row.limitKey,
  });
  if (row.error !== null) task.error = toTaskError(row.error);
  if (row.startedTime !== null) task.startedTime = toTimestamp(row.startedTime);
  if (row.finishedTime !== null) task.finishedTime = toTimestamp(row.finishedTime);
  if (row.progressPercent !== null) {
    task.progress = create(TaskProgressSchema, {
      percent: row.progressPercent,
      message: row.progressMessage ?? '',
    });
  }
  return task;
}

/** What a task's state is, to whoever may steer it and not read it: which one, and what commands change of it. */
export function toSteeredTask(row: TaskSummary): Task {
  const { id, namespace, type, state, cancelRequested, paused, discarded } = toTask(row);
  return create(TaskSchema, { id, namespace, type, state, cancelRequested, paused, discarded });
}

/** A task with its payloads. */
export function toTaskWithPayloads(row: TaskRow, wantsJson: boolean): Task {
  const task = toTask(row);
  task.input = toPayload({ data: row.input, contentType: row.inputContentType }, wantsJson);
  if (row.output !== null) {
    task.output = toPayload({ data: row.output, contentType: row.outputContentType ?? '' }, wantsJson);
  }
  if (row.checkpoint !== null) {
    task.progress ??= create(TaskProgressSchema);
    task.progress.checkpoint = row.checkpoint;
  }
  return task;
}

/** A task that was inserted just now, without reading it again. */
export function toSubmittedTask({ task, inserted, state }: Extract<Submitted, { kind: 'inserted' }>): Task {
  return create(TaskSchema, {
    id: inserted.id,
    namespace: task.namespace,
    type: task.type,
    state: toTaskState[state],
    priority: task.priority,
    labels: task.labels,
    attemptsMax: task.attemptsMax,
    createTime: toTimestamp(inserted.createTime),
    availableTime: toTimestamp(inserted.availableTime),
    idempotencyKey: task.idempotencyKey ?? '',
    eventSequence: 1,
    creator: task.creator,
    limitKey: task.limitKey,
  });
}

export function toTaskEvent(row: TaskEventRow): TaskEvent {
  const event = create(TaskEventSchema, {
    taskId: row.taskId,
    sequence: row.sequence,
    kind: toEventKind[row.kind],
    time: toTimestamp(row.time),
    state: toTaskState[row.state],
    attempt: row.attempt,
    actor: row.actor,
    leaseId: row.leaseId ?? '',
    sessionId: row.sessionId ?? '',
    reason: row.reason ?? '',
  });
  if (row.error !== null) event.error = toTaskError(row.error);
  if (row.retryDelayMs !== null) event.retryDelay = toDuration(row.retryDelayMs);
  return event;
}

export function toTaskError(error: StoredError): TaskError {
  return create(TaskErrorSchema, { code: error.code, message: error.message, kind: toFailureKind[error.kind] });
}
