import { durationMs } from '@bufbuild/protobuf/wkt';
import type { Assignment, LeaseRef } from '@dstc/contract/dstc/v1/worker_pb';
import { deadlineTimer } from './deadline-timer.ts';
import type { InterruptionCause } from './handler-errors.ts';
import { Job } from './job.ts';
import type { Outbox } from './outbox.ts';
import type { Report } from './report.ts';
import { type Handler, runHandler } from './run-handler.ts';
import type { Slots } from './slots.ts';
import { type ReadDependencies, type TaskContextDeps, taskContext } from './task-context.ts';

export interface JobsDeps {
  readonly handlers: ReadonlyMap<string, Handler>;
  readonly slots: Slots;
  readonly outbox: Outbox;
  readonly readDependencies: ReadDependencies;
}

/** How long handlers may be started one after the other; short beside any deadline, and long enough for hundreds. */
const turnMsMax = 50;

/** The leases that this worker holds: starts handlers within the limits, and keeps each result until it is settled. */
export class Jobs {
  readonly #deps: JobsDeps;
  readonly #held = new Map<string, Job>();
  readonly #watchers = new Set<() => void>();
  readonly #deadlines = deadlineTimer((nowMs) => this.#loseOverdue(nowMs));
  readonly #context: TaskContextDeps;
  #waiting: Job[] = [];
  #startScheduled = false;
  #draining = false;
  payloadBytesMax = Number.POSITIVE_INFINITY;

  constructor(deps: JobsDeps) {
    this.#deps = deps;
    this.#context = {
      onProgress(job) {
        job.heardMs = performance.now();
        deps.outbox.progress(job);
      },
      readDependencies: deps.readDependencies,
    };
  }

  /** Leases that are worked on or wait for their settlement. */
  get held(): number {
    return this.#held.size;
  }

  /** Handlers at work on leases that are still held. */
  get running(): number {
    return this.#deps.slots.running - this.#deps.slots.strays;
  }

  leases(): LeaseRef[] {
    return Array.from(this.#held.values(), ({ lease }) => lease);
  }

  find(lease: LeaseRef | undefined): Job | undefined {
    return lease && this.#held.get(lease.leaseId);
  }

  assign(assignment: Assignment): void {
    const { lease, runTimeout, taskType } = assignment;
    if (lease === undefined) return;
    this.#deps.outbox.accept(lease);
    if (this.#held.has(lease.leaseId)) return;
    const runMs = runTimeout ? durationMs(runTimeout) : Number.POSITIVE_INFINITY;
    const job = new Job(assignment, lease, performance.now() + runMs);
    this.#held.set(lease.leaseId, job);
    if (this.#draining) {
      this.report(job, { kind: 'released', reason: 'the worker stops' });
    } else if (!this.#deps.handlers.has(taskType)) {
      this.report(job, { kind: 'released', reason: 'the worker has no handler for this task type' });
    } else {
      this.#deadlines.arm(dueMsOf(job));
      this.#waiting.push(job);
      this.#scheduleStart();
    }
  }

  /**
   * Handlers begin two turns of the event loop later: what was put into the outbox is handed to the stream in the first
   * one and is on the wire after it. A handler that computes would hold up the word that its task, and all that came
   * with it, is accepted.
   */
  #scheduleStart(): void {
    if (this.#startScheduled || this.#waiting.length === 0) return;
    this.#startScheduled = true;
    setImmediate(() => setImmediate(() => this.#startWaiting(performance.now() + turnMsMax)));
  }

  /** Starts handlers until the turn has lasted long enough; messages are read and written before the next ones begin. */
  #startWaiting(turnEndMs: number): void {
    const job = this.#takeStartable();
    if (job === undefined) {
      this.#startScheduled = false;
      return;
    }
    this.#start(job);
    // A tick queued by a microtask comes after all microtasks, and so after what the handler computes behind an await.
    queueMicrotask(() =>
      process.nextTick(() => {
        if (performance.now() < turnEndMs) {
          this.#startWaiting(turnEndMs);
        } else {
          this.#startScheduled = false;
          this.#scheduleStart();
        }
      }),
    );
  }

  /** Takes the first of those that wait whose type has a place. */
  #takeStartable(): Job | undefined {
    const { slots } = this.#deps;
    for (let index = 0; index < this.#waiting.length && slots.anyFree(); ) {
      const job = this.#waiting[index];
      if (job?.state.phase === 'waiting' && !slots.free(job.assignment.taskType)) {
        index += 1;
        continue;
      }
      this.#waiting.splice(index, 1);
      if (job?.state.phase === 'waiting') return job;
    }
    return undefined;
  }

  #start(job: Job): void {
    const type = job.assignment.taskType;
    const handler = this.#deps.handlers.get(type);
    if (handler === undefined) return;
    job.state = { phase: 'running' };
    this.#deps.slots.take(type);
    // However long it waited here: the silence of the handler begins now.
    if (job.isWatched) this.#context.onProgress(job);
    const context = taskContext(job, this.#context);
    void runHandler(handler, job, context, this.payloadBytesMax).then((report) => this.#finish(job, report));
  }

  #finish(job: Job, report: Report): void {
    const stray = job.state.phase !== 'running';
    this.#deps.slots.giveBack(job.assignment.taskType, { stray });
    if (stray) this.#announceDemand();
    else this.report(job, report);
    this.#scheduleStart();
    this.#notify();
  }

  /** Says how it ended, in place of what was said before. */
  report(job: Job, report: Report): void {
    job.state = { phase: 'reported', report };
    this.#deps.outbox.report(job);
  }

  /** Says again what the stream before may have lost on the way; all of it is harmless to repeat. */
  resend(job: Job): void {
    if (job.state.phase === 'reported') {
      this.#deps.outbox.report(job);
    } else {
      this.#deps.outbox.accept(job.lease);
      if (job.progress !== undefined || job.isWatched) this.#deps.outbox.progress(job);
    }
  }

  /** The lease will be taken back by then. */
  endsWithin(job: Job, ms: number): void {
    job.deadlineMs = Math.min(job.deadlineMs, performance.now() + ms);
    this.#deadlines.arm(job.deadlineMs);
  }

  /** The lease is gone. Its handler is told to stop; what it returns is of no use any more. */
  lose(job: Job, cause: InterruptionCause, message: string): void {
    if (job.state.phase === 'running') {
      this.#stray(job);
      job.interrupt(cause, message);
    }
    this.forget(job);
  }

  forget(job: Job): void {
    this.#held.delete(job.lease.leaseId);
    job.state = { phase: 'gone' };
    this.#notify();
  }

  /** The session is lost, and every lease with it. */
  loseAll(message: string): void {
    for (const job of this.#held.values()) this.lose(job, 'LEASE_LOST', message);
  }

  /** The session is lost as far as this side can tell. Results are kept, as the coordinator may see it otherwise. */
  loseUnfinished(message: string): void {
    for (const job of this.#held.values()) {
      if (job.state.phase !== 'reported') this.lose(job, 'LEASE_LOST', message);
    }
  }

  /** Takes nothing more, and gives back what no handler has begun. */
  drain(reason: string): void {
    this.#draining = true;
    for (const job of this.#waiting) {
      if (job.state.phase === 'waiting') this.report(job, { kind: 'released', reason });
    }
    this.#waiting = [];
    this.#deps.outbox.draining();
  }

  interruptRunning(message: string): void {
    for (const job of this.#held.values()) {
      if (job.state.phase === 'running') job.interrupt('SHUTDOWN', message);
    }
  }

  releaseRunning(reason: string): void {
    for (const job of this.#held.values()) {
      if (job.state.phase !== 'running') continue;
      this.#stray(job);
      this.report(job, { kind: 'released', reason });
    }
  }

  /** On a new stream: what differs from the first credits of Hello. */
  announce(): void {
    if (this.#draining) this.#deps.outbox.draining();
    else if (this.#deps.slots.strays > 0) this.#announceDemand();
  }

  /** Waits until a condition on the leases holds; false when it did not before the time was over. */
  until(condition: () => boolean, over: AbortSignal): Promise<boolean> {
    if (condition() || over.aborted) return Promise.resolve(condition());
    return new Promise((resolve) => {
      const end = (met: boolean): void => {
        over.removeEventListener('abort', giveUp);
        this.#watchers.delete(check);
        resolve(met);
      };
      const giveUp = (): void => end(condition());
      const check = (): void => {
        if (condition()) end(true);
      };
      over.addEventListener('abort', giveUp);
      this.#watchers.add(check);
    });
  }

  stop(): void {
    this.#deadlines.stop();
  }

  #loseOverdue(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const job of this.#held.values()) {
      if (job.state.phase === 'reported') continue;
      if (job.deadlineMs <= nowMs) this.lose(job, 'RUN_TIMEOUT', 'the time of the attempt is over');
      else if (dueMsOf(job) <= nowMs) this.#endSilence(job);
      if (this.#held.has(job.lease.leaseId)) nextMs = Math.min(nextMs, dueMsOf(job));
    }
    return nextMs;
  }

  #endSilence(job: Job): void {
    // What waits for a handler is not silent for any fault of its own.
    if (job.state.phase === 'waiting') this.#context.onProgress(job);
    else this.lose(job, 'HEARTBEAT_TIMEOUT', `the handler reported no progress for ${job.heartbeatMs} ms`);
  }

  #stray(job: Job): void {
    this.#deps.slots.stray(job.assignment.taskType);
    this.#announceDemand();
  }

  /** A handler that goes on without a lease takes a place that the coordinator must not fill. */
  #announceDemand(): void {
    if (!this.#draining) this.#deps.outbox.demand(this.#deps.slots.demand());
  }

  #notify(): void {
    for (const watcher of this.#watchers) watcher();
  }
}

/** When something must happen to a job: its time is over, or it has been silent for long. */
function dueMsOf(job: Job): number {
  const silenceMsMax = job.state.phase === 'waiting' ? job.heartbeatMs / 2 : job.heartbeatMs;
  return Math.min(job.deadlineMs, job.heardMs + silenceMsMax);
}
