import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { WorkerSession as ContractWorkerSession } from '@dstc/contract/dstc/v1/worker_pb';
import {
  DrainWorkerRequestSchema,
  ListWorkersRequestSchema,
  WorkerService,
} from '@dstc/contract/dstc/v1/worker_service_pb';
import type { Caller } from './caller.ts';
import { dateOf } from './task.ts';

/** A worker process as the coordinator knows it. */
export interface WorkerSession {
  readonly id: string;
  readonly namespace: string;
  /** Who it is, such as `worker@id.example.com`. */
  readonly principal: string;
  /** Tasks of each type that it can hold at the same time. */
  readonly slotsByType: Readonly<Record<string, number>>;
  /** Tasks that it can hold at the same time, over all types. */
  readonly slots: number;
  /** Tasks that it holds now. */
  readonly leases: number;
  readonly labels: Readonly<Record<string, string>>;
  /** What it is written with, such as `dstc-typescript 0.1.0`; empty when it did not say. */
  readonly sdk: string;
  readonly buildVersion: string;
  /** The coordinator node that serves it. */
  readonly node: string;
  readonly createTime: Date | undefined;
  /** When it is lost, unless it gives a sign of life before. */
  readonly expireTime: Date | undefined;
  /** An operator drains it: it gets no more tasks. */
  readonly draining: boolean;
  /** Of the operator who drains it. */
  readonly drainReason: string;
  /** While it is drained: when others get what it still holds; undefined when it may take its time. */
  readonly drainDeadline: Date | undefined;
}

export interface DrainOptions {
  /** For the worker and for operators. */
  readonly reason?: string | undefined;
  /** After this time others get what the worker still holds, and no attempt is spent. Left out: it may take its time. */
  readonly withinMs?: number | undefined;
}

/** Has a worker stop in order, whichever coordinator it is connected to. */
export async function drainWorker(
  caller: Caller,
  which: { readonly namespace: string; readonly sessionId: string },
  { reason = '', withinMs }: DrainOptions,
): Promise<WorkerSession> {
  const within = withinMs === undefined ? {} : { within: durationFromMs(withinMs) };
  const request = create(DrainWorkerRequestSchema, { ...which, reason, ...within });
  const { worker } = await caller.unary(WorkerService.method.drainWorker, request);
  if (worker === undefined) throw new Error('the coordinator answered without a worker');
  return workerSessionOf(worker);
}

/** The worker sessions of a namespace, oldest first, page by page. */
export async function* listWorkers(caller: Caller, namespace: string): AsyncGenerator<WorkerSession> {
  let pageToken = '';
  do {
    const request = create(ListWorkersRequestSchema, { namespace, pageToken });
    const page = await caller.unary(WorkerService.method.listWorkers, request);
    yield* page.workers.map(workerSessionOf);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
}

function workerSessionOf(session: ContractWorkerSession): WorkerSession {
  const { sdk } = session;
  return {
    id: session.id,
    namespace: session.namespace,
    principal: session.principal,
    slotsByType: Object.fromEntries(session.taskTypes.map(({ taskType, slots }) => [taskType, slots])),
    slots: session.slots,
    leases: session.leases,
    labels: session.labels,
    sdk: sdk === undefined ? '' : `${sdk.name} ${sdk.version}`.trim(),
    buildVersion: session.buildVersion,
    node: session.node,
    createTime: dateOf(session.createTime),
    expireTime: dateOf(session.expireTime),
    draining: session.draining,
    drainReason: session.drainReason,
    drainDeadline: dateOf(session.drainDeadline),
  };
}
