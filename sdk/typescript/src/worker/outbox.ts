import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { DemandSchema, LeaseRef } from '@dstc/contract/dstc/v1/worker_pb';
import { type WorkRequest, WorkRequestSchema } from '@dstc/contract/dstc/v1/worker_service_pb';
import type { Job } from './job.ts';
import { type Report, reportBytes } from './report.ts';

type ReportOf<K extends Report['kind']> = Extract<Report, { kind: K }>;
type RequestInit = NonNullable<MessageInitShape<typeof WorkRequestSchema>['message']>;

const itemsMax = 1_000;
const progressIntervalMs = 500;

/**
 * What is to be written to the stream, gathered into as few messages as possible. Bounded by the leases that the worker
 * holds, as each of them is in it at most once a kind.
 */
export class Outbox {
  #wake: () => void = () => undefined;
  #token: string | undefined;
  #pongs: bigint[] = [];
  #draining = false;
  #demand: MessageInitShape<typeof DemandSchema> | undefined;
  #accepted: LeaseRef[] = [];
  #reported: Record<Report['kind'], Job[]> = emptyReports();
  /** Reports of the present stream, written or about to be. */
  #said = new WeakSet<Report>();
  #progressed = new Map<string, Job>();
  #progressDueMs = 0;
  #progressTimer: NodeJS.Timeout | undefined;

  /** Who is told whenever there may be something to take. */
  listen(wake: () => void): void {
    this.#wake = wake;
  }

  credentials(token: string): void {
    this.#token = token;
    this.#wake();
  }

  pong(nonce: bigint): void {
    this.#pongs.push(nonce);
    this.#wake();
  }

  draining(): void {
    this.#draining = true;
    this.#wake();
  }

  /** The latest wins. */
  demand(demand: MessageInitShape<typeof DemandSchema>): void {
    this.#demand = demand;
    this.#wake();
  }

  accept(lease: LeaseRef): void {
    this.#accepted.push(lease);
    this.#wake();
  }

  /** The job's report, once for each stream. */
  report(job: Job): void {
    if (job.state.phase !== 'reported' || this.#said.has(job.state.report)) return;
    this.#said.add(job.state.report);
    this.#reported[job.state.report.kind].push(job);
    this.#progressed.delete(job.lease.leaseId);
    this.#wake();
  }

  /** The job's progress as it is when it is taken, a while after the one before. */
  progress(job: Job): void {
    this.#progressed.set(job.lease.leaseId, job);
    this.#wake();
  }

  /** Forgets everything: what still matters is put in again for the next stream. */
  clear(): void {
    this.#token = undefined;
    this.#pongs = [];
    this.#draining = false;
    this.#demand = undefined;
    this.#accepted = [];
    this.#reported = emptyReports();
    this.#said = new WeakSet();
    this.#progressed.clear();
    clearTimeout(this.#progressTimer);
    this.#progressTimer = undefined;
  }

  /** The next message of at most so many bytes, or undefined when there is nothing to say. */
  take(bytesMax: number): WorkRequest | undefined {
    const message = this.#next(bytesMax);
    return message && create(WorkRequestSchema, { message });
  }

  #next(bytesMax: number): RequestInit | undefined {
    if (this.#token !== undefined) {
      const accessToken = this.#token;
      this.#token = undefined;
      return { case: 'credentials', value: { accessToken } };
    }
    const nonce = this.#pongs.shift();
    if (nonce !== undefined) return { case: 'pong', value: { nonce } };
    if (this.#draining) {
      this.#draining = false;
      return { case: 'draining', value: {} };
    }
    if (this.#demand !== undefined) {
      const demand = this.#demand;
      this.#demand = undefined;
      return { case: 'demand', value: demand };
    }
    if (this.#accepted.length > 0) return { case: 'accepted', value: { leases: this.#accepted.splice(0, itemsMax) } };
    return this.#nextReport(bytesMax) ?? this.#nextProgress();
  }

  #nextReport(bytesMax: number): RequestInit | undefined {
    const released = this.#takeReports('released', bytesMax);
    if (released[0] !== undefined) {
      return {
        case: 'released',
        value: { leases: released.map(({ job }) => job.lease), reason: released[0].report.reason },
      };
    }
    const cancelled = this.#takeReports('cancelAcknowledged', bytesMax);
    if (cancelled.length > 0) {
      return { case: 'cancelAcknowledged', value: { leases: cancelled.map(({ job }) => job.lease) } };
    }
    const succeeded = this.#takeReports('succeeded', bytesMax);
    if (succeeded.length > 0) {
      const items = succeeded.map(({ job, report }) => ({ lease: job.lease, output: report.output }));
      return { case: 'succeeded', value: { items } };
    }
    const failed = this.#takeReports('failed', bytesMax);
    if (failed.length > 0) {
      const items = failed.map(({ job, report: { error, retryAfterMs } }) => ({
        lease: job.lease,
        error,
        ...(retryAfterMs !== undefined && { retryAfter: durationFromMs(retryAfterMs) }),
      }));
      return { case: 'failed', value: { items } };
    }
    return undefined;
  }

  /** As many reports of a kind as fit; those whose job was lost meanwhile are left out. */
  #takeReports<K extends Report['kind']>(kind: K, bytesMax: number): { job: Job; report: ReportOf<K> }[] {
    const queue = this.#reported[kind];
    const taken: { job: Job; report: ReportOf<K> }[] = [];
    let bytes = 0;
    let index = 0;
    for (; index < queue.length && taken.length < itemsMax; index += 1) {
      const job = queue[index];
      if (job?.state.phase !== 'reported' || !isKind(job.state.report, kind)) continue;
      bytes += reportBytes(job.state.report);
      if (taken.length > 0 && bytes > bytesMax) break;
      taken.push({ job, report: job.state.report });
    }
    queue.splice(0, index);
    return taken;
  }

  #nextProgress(): RequestInit | undefined {
    if (this.#progressed.size === 0) return undefined;
    const waitMs = Math.ceil(this.#progressDueMs - performance.now());
    if (waitMs > 0) {
      this.#progressTimer ??= setTimeout(this.#progressIsDue, waitMs);
      return undefined;
    }
    const items = [];
    for (const [leaseId, job] of this.#progressed) {
      if (items.length === progressItemsMax) break;
      this.#progressed.delete(leaseId);
      if (job.state.phase !== 'running' && job.state.phase !== 'waiting') continue;
      items.push({ lease: job.lease, progress: job.progress === undefined ? {} : { ...job.progress } });
    }
    if (items.length === 0) return undefined;
    if (this.#progressed.size === 0) this.#progressDueMs = performance.now() + progressIntervalMs;
    return { case: 'progress', value: { items } };
  }

  readonly #progressIsDue = (): void => {
    this.#progressTimer = undefined;
    this.#wake();
  };
}

/** With a full checkpoint each, still under the size of a message. */
const progressItemsMax = 64;

function emptyReports(): Record<Report['kind'], Job[]> {
  return { succeeded: [], failed: [], released: [], cancelAcknowledged: [] };
}

function isKind<K extends Report['kind']>(report: Report, kind: K): report is ReportOf<K> {
  return report.kind === kind;
}
