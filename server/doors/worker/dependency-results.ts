import type { HandlerContext } from '@connectrpc/connect';
import type { GetDependencyResultsRequest } from '@dstc/contract/dstc/v1/worker_service_pb';
import { DstcError, fieldInvalid } from '../../domain/errors.ts';
import { parseSessionId } from '../../domain/ids.ts';
import { limits } from '../../domain/limits.ts';
import { secretHashOf } from '../../engine/sessions.ts';
import type { Database } from '../../store/database.ts';
import { selectClaimedTask, selectDependencyResults } from '../../store/select-dependencies.ts';
import { callerOf } from '../context.ts';
import { toDependencyResult } from '../convert/dependency.ts';
import { fenceOf } from '../convert/lease.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { pageSizeOf, positionOf, positions, toPageToken } from '../convert/page-token.ts';

/**
 * A page of what became of a leased task's dependencies, for who holds the lease now. The session is not renewed: it may
 * be that of a stream to another node.
 */
export async function dependencyResults(
  { database }: { readonly database: Database },
  request: GetDependencyResultsRequest,
  context: HandlerContext,
) {
  const { session, lease } = request;
  if (session === undefined || lease === undefined) throw fieldInvalid('session', 'is required, and so is lease');
  const caller = callerOf(context);
  const namespace = namespaceOf(request);
  const fence = fenceOf(lease);
  const list = ['dependencies', namespace, fence];
  const after = positionOf(list, request.pageToken, positions.sequence);
  const claim = {
    namespace,
    principal: caller.principal.actor,
    sessionId: parseSessionId(session.sessionId),
    secretHash: secretHashOf(session.resumeSecret),
    fence,
  };
  const task = await database.run((sql) => selectClaimedTask(sql, claim));
  if (task === undefined || !caller.may('work', namespace, task.type)) throw leaseLost(fence.taskId);
  const page = {
    afterPosition: after === undefined ? -1 : Number(after),
    size: pageSizeOf(request.pageSize, limits.dependencyPageSizeDefault),
    bytesMax: limits.dependencyPageBytesMax,
  };
  const rows = await database.run((sql) => selectDependencyResults(sql, fence.taskId, page));
  const last = rows.at(-1);
  const isWhole = last === undefined || last.position === task.dependencyCount - 1;
  return {
    results: rows.map((row) => toDependencyResult(row, caller.wantsJson)),
    nextPageToken: isWhole ? '' : toPageToken(list, String(last.position)),
  };
}

function leaseLost(taskId: string): DstcError {
  return new DstcError('LEASE_LOST', `you hold no such lease on task ${taskId}`, { metadata: { task_id: taskId } });
}
