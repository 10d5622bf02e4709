import type { SessionRef } from '@dstc/contract/dstc/v1/worker_service_pb';
import type { Caller } from '../../auth/caller.ts';
import { fieldInvalid } from '../../domain/errors.ts';
import { type Fence, type LeaseId, parseSessionId } from '../../domain/ids.ts';
import type { Sessions } from '../../engine/sessions.ts';
import type { DrainNotice } from '../../store/sessions.ts';
import { namespaceOf } from '../convert/namespace.ts';
import type { ReportSource } from './reports.ts';

/** Who reports without a stream, and what an operator has said who drains it. */
export interface ProvenSession {
  readonly source: Omit<ReportSource, 'lease' | 'holds'>;
  readonly drain: DrainNotice | undefined;
}

/** Renews the session of a unary call, which proves it with its secret. */
export async function provenSession(
  sessions: Sessions,
  request: { readonly namespace: string; readonly session?: SessionRef | undefined },
  caller: Caller,
): Promise<ProvenSession> {
  const { session } = request;
  if (session === undefined) throw fieldInvalid('session', 'is required');
  const namespace = namespaceOf(request);
  const sessionId = parseSessionId(session.sessionId);
  const { actor } = caller.principal;
  const drain = await sessions.prove({ namespace, actor }, { sessionId, secret: session.resumeSecret });
  const source: ProvenSession['source'] = {
    sessionId,
    namespace,
    actor,
    may: (type) => caller.may('work', namespace, type),
    accept: () => false,
    write: (write) => write(),
  };
  return { source, drain };
}

/** The same with the leases that it holds now. */
export async function holding(sessions: Sessions, source: ProvenSession['source']): Promise<ReportSource> {
  const leases = await sessions.leasesOf(source.sessionId);
  return {
    ...source,
    lease: (leaseId: LeaseId) => leases.get(leaseId),
    holds: ({ leaseId }: Fence) => leases.has(leaseId),
  };
}
