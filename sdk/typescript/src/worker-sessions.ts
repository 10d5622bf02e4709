import { create } from '@bufbuild/protobuf';
import type { WorkerSession as ContractWorkerSession } from '@dstc/contract/dstc/v1/worker_pb';
import { ListWorkersRequestSchema, WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
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
  };
}
