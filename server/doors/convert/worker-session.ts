import { create } from '@bufbuild/protobuf';
import { SdkInfoSchema, type WorkerSession, WorkerSessionSchema } from '@dstc/contract/dstc/v1/worker_pb';
import type { SessionRow } from '../../store/sessions.ts';
import { toTimestamp } from './time.ts';

/** A worker session, as operators see it. */
export function toWorkerSession(row: SessionRow): WorkerSession {
  const session = create(WorkerSessionSchema, {
    id: row.id,
    namespace: row.namespace,
    principal: row.principal,
    taskTypes: Object.entries(row.taskTypes).map(([taskType, slots]) => ({ taskType, slots })),
    slots: row.slots,
    labels: row.labels,
    sdk: create(SdkInfoSchema, { name: row.sdkName, version: row.sdkVersion }),
    buildVersion: row.buildVersion,
    node: row.node,
    createTime: toTimestamp(row.createTime),
    expireTime: toTimestamp(row.expireTime),
    leases: row.leases,
    draining: row.drainTime !== null,
    drainReason: row.drainReason ?? '',
  });
  if (row.drainDeadline !== null) session.drainDeadline = toTimestamp(row.drainDeadline);
  return session;
}
