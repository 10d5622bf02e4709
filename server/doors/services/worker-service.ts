import { create } from '@bufbuild/protobuf';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import { SdkInfoSchema, type WorkerSession, WorkerSessionSchema } from '@dstc/contract/dstc/v1/worker_pb';
import type { ReportTasksRequest, SessionRef, WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { fieldInvalid } from '../../domain/errors.ts';
import { type Fence, type LeaseId, parseSessionId, type SessionId } from '../../domain/ids.ts';
import { limits } from '../../domain/limits.ts';
import type { Database } from '../../store/database.ts';
import { type SessionRow, selectSessions } from '../../store/sessions.ts';
import { selectTick } from '../../store/tick.ts';
import { callerOf } from '../context.ts';
import { fenceOf, toAssignment, toCancel, toReconciled } from '../convert/lease.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { pageSizeOf, positionOf, positions, toPageToken } from '../convert/page-token.ts';
import { optionalMs, toDuration, toTimestamp } from '../convert/time.ts';
import { dependencyResults } from '../worker/dependency-results.ts';
import { leaseOnce } from '../worker/lease-once.ts';
import type { ReportSource } from '../worker/reports.ts';
import { type WorkDeps, work } from '../worker/work.ts';

export interface WorkerServiceDeps extends WorkDeps {
  readonly database: Database;
}

export function workerService(deps: WorkerServiceDeps): ServiceImpl<typeof WorkerService> {
  const { sessions } = deps.engine;
  const leaseDuration = toDuration(deps.leaseMs);

  /** Renews the session of a unary call and answers with who reports. */
  async function proven(
    request: { readonly namespace: string; readonly session?: SessionRef | undefined },
    context: HandlerContext,
  ): Promise<Omit<ReportSource, 'lease' | 'holds'>> {
    const { session } = request;
    if (session === undefined) throw fieldInvalid('session', 'is required');
    const caller = callerOf(context);
    const namespace = namespaceOf(request);
    const sessionId = parseSessionId(session.sessionId);
    const { actor } = caller.principal;
    await sessions.prove({ namespace, actor }, { sessionId, secret: session.resumeSecret });
    return {
      sessionId,
      namespace,
      actor,
      may: (type) => caller.may('work', namespace, type),
      accept: () => false,
      write: (write) => write(),
    };
  }

  return {
    work: (requests, context) => work(deps, requests, context),

    async leaseTasks(request, context) {
      const caller = callerOf(context);
      const namespace = namespaceOf(request);
      for (const type of request.taskTypes) caller.require('work', namespace, type);
      const tasksMax = request.tasksMax || 1;
      const info = {
        namespace,
        actor: caller.principal.actor,
        may: (type: string) => caller.may('work', namespace, type),
        slots: tasksMax,
        slotsByType: new Map(request.taskTypes.map((type) => [type, tasksMax])),
        labels: {},
        sdkName: '',
        sdkVersion: '',
        buildVersion: '',
      };
      const claim: { sessionId: SessionId; secret: string } =
        request.session === undefined
          ? await sessions.create(info)
          : { sessionId: (await proven(request, context)).sessionId, secret: request.session.resumeSecret };
      const waitMs = Math.min(
        optionalMs('wait', request.wait) ?? 0,
        (context.timeoutMs() ?? Number.POSITIVE_INFINITY) - limits.awaitTaskMarginMs,
      );
      const tasks = await leaseOnce(deps, claim.sessionId, info, { waitMs, signal: context.signal });
      return {
        session: { sessionId: claim.sessionId, resumeSecret: claim.secret },
        assignments: tasks.map((task) => toAssignment(task, caller.wantsJson)),
        leaseDuration,
      };
    },

    async reportTasks(request, context) {
      const source = await proven(request, context);
      const leases = await sessions.leasesOf(source.sessionId);
      const lease = (leaseId: LeaseId) => leases.get(leaseId);
      const holds = ({ leaseId }: Fence) => leases.has(leaseId);
      return { settlements: await Promise.all(settlementsOf(deps, { ...source, lease, holds }, request)) };
    },

    async extendLeases(request, context) {
      const source = await proven(request, context);
      const verdicts = await sessions.verdicts(source, request.held.map(fenceOf));
      const { cancels } = await deps.database.run((sql) => selectTick(sql, [], [source.sessionId]));
      return { leaseDuration, reconciled: verdicts.map(toReconciled), cancels: cancels.map(toCancel) };
    },

    getDependencyResults: (request, context) => dependencyResults(deps, request, context),

    async listWorkers(request, context) {
      const namespace = namespaceOf(request);
      const list = ['workers', namespace];
      const size = pageSizeOf(request.pageSize, limits.sessionPageSizeDefault);
      const caller = callerOf(context);
      const rows = await deps.database.query((orm) =>
        selectSessions(orm, { namespace, afterId: positionOf(list, request.pageToken, positions.id), size: size + 1 }),
      );
      const last = rows.length > size ? rows[size - 1] : undefined;
      const workers = rows
        .slice(0, size)
        .filter((row) => Object.keys(row.taskTypes).some((type) => caller.may('operate', namespace, type)));
      return { workers: workers.map(toWorkerSession), nextPageToken: last ? toPageToken(list, last.id) : '' };
    },
  };
}

function settlementsOf({ reports }: WorkerServiceDeps, source: ReportSource, request: ReportTasksRequest) {
  if (request.progress) reports.progress(source, request.progress);
  return [
    ...(request.succeeded ? reports.succeeded(source, request.succeeded) : []),
    ...(request.failed ? reports.failed(source, request.failed) : []),
    ...(request.released ? reports.released(source, request.released) : []),
    ...(request.cancelAcknowledged ? reports.cancelAcknowledged(source, request.cancelAcknowledged) : []),
  ];
}

function toWorkerSession(row: SessionRow): WorkerSession {
  return create(WorkerSessionSchema, {
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
  });
}
