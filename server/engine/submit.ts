import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Dependency } from '../domain/dependency.ts';
import { DstcError } from '../domain/errors.ts';
import { limits, retryPolicyDefault } from '../domain/limits.ts';
import type { Payload } from '../domain/payload.ts';
import type { RetryPolicy } from '../domain/retry.ts';
import type { TaskState } from '../domain/task-state.ts';
import type { Database } from '../store/database.ts';
import { type InsertedTask, insertTasks, type NewTask, selectIdempotencyKeys } from '../store/insert-tasks.ts';
import type { TaskTypeRow } from '../store/task-types.ts';
import { checkInput } from './check-input.ts';
import { createGroupCommit } from './group-commit.ts';
import { limitKeyOf } from './limit-key.ts';
import { type PlacedTask, type QueueLimits, queueFull } from './queue-limits.ts';
import type { TaskTypes } from './task-types.ts';
import type { Wake } from './wake.ts';

export interface IdempotencyKey {
  readonly key: string;
  /** What makes two inputs the same one. */
  readonly inputIdentity: Uint8Array;
  /** Set when that alone, and who asks, makes two requests the same one: what else they ask for may have changed meanwhile. */
  readonly isWhole?: boolean;
}

/** A task as its producer asks for it; what is undefined comes from the type. */
export interface Submission {
  readonly namespace: string;
  readonly type: string;
  readonly input: Payload;
  /** Undefined without a key. */
  readonly idempotency: IdempotencyKey | undefined;
  readonly priority: number | undefined;
  readonly delayMs: number;
  readonly availableTime: Date | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly retryPolicy: RetryPolicy | undefined;
  readonly startMs: number | undefined;
  readonly deliveryMs: number | undefined;
  readonly heartbeatMs: number | undefined;
  readonly runMs: number | undefined;
  readonly totalMs: number | undefined;
  /** One that has any goes the way of `submit-linked.ts`. */
  readonly dependencies: readonly Dependency[];
  readonly creator: string;
  /** The `traceparent` that came with it. */
  readonly traceParent?: string | undefined;
}

/** The task that was made, or the id of the one that its idempotency key had made. */
export type Submitted =
  | { readonly kind: 'inserted'; readonly task: NewTask; readonly inserted: InsertedTask; readonly state: TaskState }
  | { readonly kind: 'existed'; readonly id: string };

export interface SubmitDeps {
  readonly database: Database;
  readonly types: TaskTypes;
  readonly queueLimits: QueueLimits;
  readonly wake: Wake;
  readonly payloadBytesMax: number;
}

/** Resolves after the commit. */
export type Submit = (submission: Submission) => Promise<Submitted>;

/** What the statement answers for one task. */
type Written =
  | { readonly kind: 'inserted'; readonly inserted: InsertedTask }
  | { readonly kind: 'existed'; readonly id: string; readonly requestHash: Uint8Array }
  /** Its place was somebody else's before it was written. */
  | { readonly kind: 'too late' };

export function createSubmit(deps: SubmitDeps): Submit {
  const commits = createGroupCommit<PlacedTask, Written>({
    flush: (tasks) => writeTasks(deps, tasks),
    itemsMax: limits.groupCommitItemsMax,
    bytesMax: limits.groupCommitBytesMax,
    bytesOf: (task) => task.input.byteLength,
    concurrency: 2,
    queueMax: limits.groupCommitQueueMax,
  });

  async function write(task: PlacedTask): Promise<Written> {
    try {
      const written = await commits.add(task);
      task.place?.end(written.kind === 'inserted' ? 'taken' : 'free');
      return written;
    } catch (error) {
      task.place?.end('unknown');
      throw error;
    }
  }

  return async (submission) => {
    for (let tries = 1; ; tries += 1) {
      const task = await prepareTask(deps, submission);
      const written = await write(task);
      switch (written.kind) {
        case 'inserted':
          return { kind: 'inserted', task, inserted: written.inserted, state: 'PENDING' };
        case 'existed':
          if (isSameRequest(task, written.requestHash)) return { kind: 'existed', id: written.id };
          throw idempotencyConflict(task);
        case 'too late':
          if (tries === limits.queuePlacesMax) throw queueFull(task.type, task.place?.queueMax ?? 0);
      }
    }
  };
}

/** A submission with what its type lends it; throws when the type does not take it, or no more of them for now. */
export async function prepareTask(
  deps: Pick<SubmitDeps, 'types' | 'queueLimits' | 'payloadBytesMax'>,
  submission: Submission,
): Promise<PlacedTask> {
  const { row } = await checkInput(deps, submission.namespace, submission.type, submission.input);
  const task = newTask(submission, row);
  const place = await deps.queueLimits.admit(task, row.limits?.queueMax);
  return place === undefined ? task : { ...task, place };
}

export function isSameRequest(task: NewTask, requestHash: Uint8Array): boolean {
  return Buffer.compare(requestHash, task.requestHash ?? Buffer.of()) === 0;
}

export function idempotencyConflict(task: NewTask): DstcError {
  return new DstcError(
    'IDEMPOTENCY_CONFLICT',
    'the idempotency key was used with another request; use a key of its own for each task',
    { metadata: { idempotency_key: task.idempotencyKey ?? '' } },
  );
}

function newTask(submission: Submission, type: TaskTypeRow): Omit<NewTask, 'place'> {
  const retry = submission.retryPolicy ?? type.retryPolicy;
  return {
    namespace: submission.namespace,
    type: submission.type,
    limitKey: limitKeyOf(type.limits?.key, submission),
    priority: submission.priority ?? type.priority,
    attemptsMax: retry.attemptsMax,
    availableTime: submission.availableTime ?? null,
    delayMs: submission.delayMs,
    startMs: submission.startMs ?? type.startMs,
    deliveryMs: submission.deliveryMs ?? type.deliveryMs,
    heartbeatMs: submission.heartbeatMs ?? type.heartbeatMs,
    runMs: submission.runMs ?? type.runMs,
    totalMs: submission.totalMs ?? type.totalMs,
    retryPolicy: isDeepStrictEqual(retry, retryPolicyDefault) ? null : retry,
    labels: submission.labels,
    input: submission.input.data,
    inputContentType: submission.input.contentType,
    idempotencyKey: submission.idempotency?.key ?? null,
    requestHash: submission.idempotency === undefined ? null : requestHash(submission, submission.idempotency),
    creator: submission.creator,
    traceParent: submission.traceParent ?? null,
  };
}

/** What makes two requests the same one: everything that was asked for, and who asked. */
function requestHash(submission: Submission, { inputIdentity, isWhole }: IdempotencyKey): Uint8Array {
  if (isWhole === true) {
    return createHash('sha256').update(submission.creator).update('\0').update(inputIdentity).digest();
  }
  const { input, labels, idempotency: _, traceParent: __, ...rest } = submission;
  const sortedLabels = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([rest, sortedLabels, input.contentType]))
    .update('\0')
    .update(inputIdentity)
    .digest();
}

async function writeTasks(deps: SubmitDeps, tasks: readonly PlacedTask[]): Promise<readonly Written[]> {
  const written = new Map<number, Written>();
  const usedUpIds = deps.queueLimits.usedUpBy(tasks);
  const inserted = await deps.database.run((sql) => insertTasks(sql, tasks, usedUpIds));
  for (const row of inserted) written.set(row.index, { kind: 'inserted', inserted: row });
  announceInserted(deps.wake, tasks, inserted);
  if (written.size < tasks.length) await findExisting(deps, tasks, written);
  return tasks.map((_, index) => written.get(index) as Written);
}

/** Hints at tasks that were inserted: one hint a type, for the task that is due first. */
export function announceInserted(wake: Wake, tasks: readonly NewTask[], inserted: readonly InsertedTask[]): void {
  if (inserted.length > 0) wake.eventsWritten.give(undefined);
  const first = new Map<string, { namespace: string; type: string; inMs: number }>();
  for (const { index, dueInMs } of inserted) {
    const task = tasks[index];
    if (task === undefined || task.dependencies?.blocked) continue;
    const { namespace, type } = task;
    const key = `${namespace}/${type}`;
    const earlier = first.get(key)?.inMs ?? Number.POSITIVE_INFINITY;
    first.set(key, { namespace, type, inMs: Math.min(dueInMs, earlier) });
  }
  for (const hint of first.values()) wake.taskDue.give(hint);
}

/** Looks up what the idempotency keys that were taken had made. */
async function findExisting(
  deps: SubmitDeps,
  tasks: readonly PlacedTask[],
  written: Map<number, Written>,
): Promise<void> {
  const missing = tasks.flatMap((task, index) => (written.has(index) ? [] : [{ task, index }]));
  const keys = missing.flatMap(({ task: { namespace, idempotencyKey: key } }) =>
    key === null ? [] : [{ namespace, key }],
  );
  const rows = keys.length === 0 ? [] : await deps.database.run((sql) => selectIdempotencyKeys(sql, keys));
  const byKey = new Map(rows.map((row) => [`${row.namespace}/${row.key}`, row]));
  for (const { task, index } of missing) {
    const row = task.idempotencyKey === null ? undefined : byKey.get(`${task.namespace}/${task.idempotencyKey}`);
    if (row !== undefined) {
      written.set(index, { kind: 'existed', id: row.taskId, requestHash: row.requestHash });
      continue;
    }
    if (task.place !== undefined) {
      task.place.lose();
      written.set(index, { kind: 'too late' });
      continue;
    }
    // Gone between the two statements: its task outlived its retention just now, so the key is free again.
    const [again] = await writeTasks(deps, [task]);
    if (again !== undefined) written.set(index, again);
  }
}
