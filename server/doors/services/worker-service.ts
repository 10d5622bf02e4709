import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import type { ReportTasksRequest, SessionRef, WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { DstcError } from '../../domain/errors.ts';
import { parseSessionId } from '../../domain/ids.ts';
import { limits } from '../../domain/limits.ts';
import type { SessionSecret } from '../../engine/sessions.ts';
import type { Database } from '../../store/database.ts';
import { selectCancelNotices, selectSession, selectSessions } from '../../store/sessions.ts';
import { callerOf } from '../context.ts';
import { fenceOf, toAssignment, toCancel, toReconciled, toStop } from '../convert/lease.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { pageSizeOf, positionOf, positions, toPageToken } from '../convert/page-token.ts';
import { optionalMs, toDuration } from '../convert/time.ts';
import { toWorkerSession } from '../convert/worker-session.ts';
import { dependencyResults } from '../worker/dependency-results.ts';
import { leaseOnce } from '../worker/lease-once.ts';
import { holding, provenSession } from '../worker/proven-session.ts';
import type { ReportSource } from '../worker/reports.ts';
import { type WorkDeps, work } from '../worker/work.ts';

export interface WorkerServiceDeps extends WorkDeps {
  readonly database: Database;
}

export function workerService(deps: WorkerServiceDeps): ServiceImpl<typeof WorkerService> {
  const { sessions } = deps.engine;
  const leaseDuration = toDuration(deps.leaseMs);

  const proven = (
    request: { readonly namespace: string; readonly session?: SessionRef | undefined },
    context: HandlerContext,
  ) => provenSession(sessions, request, callerOf(context));

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
      const known = request.session === undefined ? undefined : await proven(request, context);
      const claim: SessionSecret =
        request.session === undefined || known === undefined
          ? await sessions.create(info)
          : { sessionId: known.source.sessionId, secret: request.session.resumeSecret };
      const session = { sessionId: claim.sessionId, resumeSecret: claim.secret };
      if (known !== undefined) await sessions.takeBackUnheard(known.source, request.held?.leases.map(fenceOf));
      if (known?.drain !== undefined) return { session, assignments: [], leaseDuration, stop: toStop(known.drain) };
      const waitMs = Math.min(
        optionalMs('wait', request.wait) ?? 0,
        (context.timeoutMs() ?? Number.POSITIVE_INFINITY) - limits.awaitTaskMarginMs,
        // Who waits longer than its token lives gets nothing after that.
        caller.principal.expiresAt.getTime() - Date.now(),
      );
      const { tasks, drain } = await leaseOnce(deps, claim.sessionId, info, {
        waitMs,
        signal: AbortSignal.any([context.signal, deps.draining]),
      });
      return {
        session,
        assignments: tasks.map((task) => toAssignment(task, caller.wantsJson)),
        leaseDuration,
        ...(drain !== undefined && { stop: toStop(drain) }),
      };
    },

    async reportTasks(request, context) {
      const { source } = await proven(request, context);
      return { settlements: await Promise.all(settlementsOf(deps, await holding(sessions, source), request)) };
    },

    async extendLeases(request, context) {
      const { source, drain } = await proven(request, context);
      const verdicts = await sessions.verdicts(source, request.held.map(fenceOf));
      const cancels = await deps.database.run((sql) => selectCancelNotices(sql, [source.sessionId]));
      return {
        leaseDuration,
        reconciled: verdicts.map(toReconciled),
        cancels: cancels.map(toCancel),
        ...(drain !== undefined && { stop: toStop(drain) }),
      };
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

    async drainWorker(request, context) {
      const namespace = namespaceOf(request);
      const which = { namespace, id: parseSessionId(request.sessionId) };
      const caller = callerOf(context);
      const before = await deps.database.query((orm) => selectSession(orm, which));
      const types = Object.keys(before?.taskTypes ?? {});
      // Who may operate none of its types does not see it either.
      if (!types.some((type) => caller.may('operate', namespace, type))) throw sessionNotFound(which.id);
      for (const type of types) caller.require('operate', namespace, type);
      const withinMs = optionalMs('within', request.within);
      const { actor } = caller.principal;
      const { reason } = request;
      const found = await deps.engine.drain({ namespace, sessionId: which.id, actor, reason, withinMs });
      const after = found ? await deps.database.query((orm) => selectSession(orm, which)) : undefined;
      if (after === undefined) throw sessionNotFound(which.id);
      deps.log.info({ session: which.id, actor, withinMs }, 'a worker is drained');
      return { worker: toWorkerSession(after) };
    },
  };
}

function sessionNotFound(sessionId: string): DstcError {
  return new DstcError('SESSION_NOT_FOUND', `there is no worker session ${sessionId} that you may see`, {
    metadata: { session_id: sessionId },
  });
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
