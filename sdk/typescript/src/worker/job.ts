import { durationMs } from '@bufbuild/protobuf/wkt';
import type { TaskProgress } from '@dstc/contract/dstc/v1/task_pb';
import type { Assignment, LeaseRef } from '@dstc/contract/dstc/v1/worker_pb';
import { InterruptedError, type InterruptionCause } from './handler-errors.ts';
import type { Report } from './report.ts';

export type JobState =
  /** Accepted; no handler is free yet. */
  | { readonly phase: 'waiting' }
  /** In the hands of a handler. */
  | { readonly phase: 'running' }
  /** Ended; kept until the coordinator has settled the report. */
  | { readonly phase: 'reported'; readonly report: Report }
  /** Settled or lost. Its handler may still run, but nobody waits for it. */
  | { readonly phase: 'gone' };

/** One lease that this worker holds, and what becomes of it. */
export class Job {
  readonly assignment: Assignment;
  readonly lease: LeaseRef;
  state: JobState = { phase: 'waiting' };
  /** When the lease ends for this worker, on the monotonic clock. */
  deadlineMs: number;
  /** The attempt is lost when it says nothing for this long. */
  readonly heartbeatMs: number;
  /** When it last said something. */
  heardMs = performance.now();
  /** All progress so far in one; sent again after a reconnect. */
  progress: TaskProgress | undefined;
  #interruption: InterruptedError | undefined;
  #controller: AbortController | undefined;

  constructor(assignment: Assignment, lease: LeaseRef, deadlineMs: number) {
    this.assignment = assignment;
    this.lease = lease;
    this.deadlineMs = deadlineMs;
    const { heartbeatTimeout } = assignment;
    this.heartbeatMs = heartbeatTimeout === undefined ? Number.POSITIVE_INFINITY : durationMs(heartbeatTimeout);
  }

  /** Whether silence ends it. */
  get isWatched(): boolean {
    return this.heartbeatMs !== Number.POSITIVE_INFINITY;
  }

  get interruption(): InterruptedError | undefined {
    return this.#interruption;
  }

  /** Made when a handler asks for it: most never do, and at thousands of tasks a second that is felt. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#interruption !== undefined) this.#controller.abort(this.#interruption);
    }
    return this.#controller.signal;
  }

  /** Tells the handler to stop. The first cause stands. */
  interrupt(cause: InterruptionCause, message: string): void {
    if (this.#interruption !== undefined) return;
    this.#interruption = new InterruptedError(cause, message);
    this.#controller?.abort(this.#interruption);
  }
}
