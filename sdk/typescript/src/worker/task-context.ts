import { create } from '@bufbuild/protobuf';
import { TaskProgressSchema } from '@dstc/contract/dstc/v1/task_pb';
import type { JsonValue } from '../payload.ts';
import { dateOf, type TaskError, type TaskState } from '../task.ts';
import type { Job } from './job.ts';
import { boundedText } from './text.ts';

/** The task that a handler works on. */
export interface AssignedTask {
  readonly id: string;
  readonly type: string;
  /** From 1. */
  readonly attempt: number;
  readonly attemptsMax: number;
  readonly priority: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly createTime: Date | undefined;
  /** The attempt is lost when neither `progress` nor `heartbeat` is called for this long; undefined when nobody watches. */
  readonly heartbeatMs: number | undefined;
  /** What the attempt before left behind, as it was sent; see `TaskContext.checkpoint` for JSON. */
  readonly checkpoint: Uint8Array | undefined;
  /** How many tasks it depends on; see `TaskContext.dependencies`. */
  readonly dependencyCount: number;
  /** The `traceparent` (W3C Trace Context) of the submission; undefined without one. */
  readonly traceParent: string | undefined;
}

export interface ProgressUpdate {
  /** 0 to 100. Left out: as before. */
  readonly percent?: number | undefined;
  /** A few words for people. Left out: as before. */
  readonly message?: string | undefined;
  /** What the next attempt receives should this one be lost: JSON, or bytes. At most 64 KiB. Left out: as before. */
  readonly checkpoint?: JsonValue | Uint8Array | undefined;
}

/** What a handler gets besides the input. */
export interface TaskContext {
  readonly task: AssignedTask;
  /** Aborted with an InterruptedError when the work is to stop: on cancel, lost lease, run timeout, shutdown. */
  readonly signal: AbortSignal;
  /** The JSON value that the attempt before left as its checkpoint, or undefined. */
  checkpoint(): unknown;
  /** Tells how far the work has come; call it as often as you like, the latest is sent about twice a second. */
  progress(update: ProgressUpdate): void;
  /** Says that the work goes on, where there is no progress to tell: for tasks with a heartbeat deadline. */
  heartbeat(): void;
  /**
   * What became of the tasks that this one depends on, in the order of its submission. Asked of the coordinator once,
   * when it is first called; throws a DstcError, such as `LEASE_LOST`.
   */
  dependencies<Output = unknown>(): Promise<readonly DependencyResult<Output>[]>;
}

/** What became of a task that another one depends on. */
export interface DependencyResult<Output = unknown> {
  readonly taskId: string;
  /** Empty once it has outlived its retention, and the state `UNSPECIFIED`. */
  readonly type: string;
  readonly state: TaskState;
  /** A JSON value or a BinaryPayload, if it SUCCEEDED and the output is not withheld. */
  readonly output: Output | undefined;
  /** Whether there is an output that who submitted this task was not allowed to read. */
  readonly outputWithheld: boolean;
  /** Its last failure, if it FAILED or was CANCELLED after one. */
  readonly error: TaskError | undefined;
}

/** Asks what became of the dependencies of a job's task. */
export type ReadDependencies = (job: Job) => Promise<readonly DependencyResult[]>;

export interface TaskContextDeps {
  readonly onProgress: (job: Job) => void;
  readonly readDependencies: ReadDependencies;
}

const messageBytesMax = 1_024;
const checkpointBytesMax = 65_536;

export function taskContext(job: Job, { onProgress, readDependencies }: TaskContextDeps): TaskContext {
  const { assignment, lease } = job;
  const checkpoint = assignment.checkpoint.length === 0 ? undefined : assignment.checkpoint;
  let dependencies: Promise<readonly DependencyResult[]> | undefined;
  return {
    task: {
      id: lease.taskId,
      type: assignment.taskType,
      attempt: lease.attempt,
      attemptsMax: assignment.attemptsMax,
      priority: assignment.priority,
      labels: assignment.labels,
      createTime: dateOf(assignment.createTime),
      heartbeatMs: job.isWatched ? job.heartbeatMs : undefined,
      checkpoint,
      dependencyCount: assignment.dependencyCount,
      traceParent: assignment.traceParent || undefined,
    },
    get signal() {
      return job.signal;
    },
    checkpoint: () => checkpoint && JSON.parse(Buffer.from(checkpoint).toString()),
    progress(update) {
      mergeProgress(job, update);
      if (job.state.phase === 'running') onProgress(job);
    },
    heartbeat() {
      if (job.state.phase === 'running' && job.isWatched) onProgress(job);
    },
    dependencies<Output>() {
      if (assignment.dependencyCount === 0) return Promise.resolve([]);
      dependencies ??= readDependencies(job).catch((error: unknown) => {
        // So that another call asks again.
        dependencies = undefined;
        throw error;
      });
      return dependencies as Promise<readonly DependencyResult<Output>[]>;
    },
  };
}

function mergeProgress(job: Job, { percent, message, checkpoint }: ProgressUpdate): void {
  const merged = job.progress ?? create(TaskProgressSchema);
  if (percent !== undefined) {
    if (typeof percent !== 'number' || Number.isNaN(percent))
      throw new RangeError('percent must be a number from 0 to 100');
    merged.percent = Math.min(100, Math.max(0, percent));
  }
  if (message !== undefined) merged.message = boundedText(message, messageBytesMax);
  if (checkpoint !== undefined) merged.checkpoint = checkpointBytes(checkpoint);
  job.progress = merged;
}

function checkpointBytes(checkpoint: JsonValue | Uint8Array): Uint8Array {
  const bytes = checkpoint instanceof Uint8Array ? checkpoint : Buffer.from(JSON.stringify(checkpoint));
  if (bytes.length <= checkpointBytesMax) return bytes;
  throw new RangeError(`the checkpoint has ${bytes.length} bytes; the limit is ${checkpointBytesMax}`);
}
