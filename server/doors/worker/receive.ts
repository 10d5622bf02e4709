import { toBinary } from '@bufbuild/protobuf';
import { PayloadSchema } from '@dstc/contract/dstc/v1/payload_pb';
import { type Demand, type Settlement, SettlementOutcome, type Succeeded } from '@dstc/contract/dstc/v1/worker_pb';
import type { WorkRequest } from '@dstc/contract/dstc/v1/worker_service_pb';
import { DstcError } from '../../domain/errors.ts';
import type { Engine } from '../../engine/engine.ts';
import type { LiveSession } from '../../engine/live-session.ts';
import { fenceOf } from '../convert/lease.ts';
import type { Access } from './access.ts';
import type { Outbox } from './outbox.ts';
import type { ReportSource, WorkerReports } from './reports.ts';
import type { Unsettled } from './unsettled.ts';
import { untilWritten } from './until-written.ts';

/** One stream and what its messages act on. */
export interface Receiving {
  readonly engine: Engine;
  readonly reports: WorkerReports;
  readonly access: Access;
  readonly session: LiveSession;
  readonly outbox: Outbox;
  readonly closed: AbortSignal;
  readonly unsettled: Unsettled;
}

/**
 * Reads the stream to its end. Only an end after Draining is a goodbye: a client that cancels the stream may end its side
 * of it first, and comes back for its leases.
 */
export async function receive(deps: Receiving, inbound: AsyncIterator<WorkRequest>): Promise<'goodbye' | 'lost'> {
  const source: ReportSource = {
    sessionId: deps.session.sessionId,
    namespace: deps.session.namespace,
    actor: deps.session.actor,
    may: deps.session.may,
    lease: (leaseId) => deps.session.lease(leaseId),
    accept: (fence) => deps.session.accept(fence),
    holds: (fence) => deps.session.holds(fence),
    write: (write) => untilWritten(deps.closed, write),
  };
  let isDraining = false;
  try {
    for (;;) {
      const next = await inbound.next();
      if (next.done) {
        await deps.unsettled.all();
        deps.outbox.end();
        return isDraining ? 'goodbye' : 'lost';
      }
      deps.session.seen();
      isDraining ||= next.value.message.case === 'draining';
      await handle(deps, source, next.value.message);
      await roomToRead(deps);
    }
  } catch (error) {
    deps.outbox.end(error);
    return 'lost';
  }
}

/**
 * Reads no faster than reports are written and settlements are taken, or one worker could fill the memory of the node.
 * Meanwhile it is not the worker that is silent.
 */
async function roomToRead({ unsettled, outbox, session, closed }: Receiving): Promise<void> {
  while ((unsettled.isFull() || outbox.isCongested()) && !closed.aborted) {
    await unsettled.change();
    session.seen();
  }
}

async function handle(deps: Receiving, source: ReportSource, message: WorkRequest['message']): Promise<void> {
  const { reports, session, engine } = deps;
  switch (message.case) {
    case 'demand':
      return demand(deps, message.value);
    case 'accepted':
      return reports.accepted(source, message.value);
    case 'progress':
      return reports.progress(source, message.value);
    case 'succeeded':
      return settleAll(deps, reports.succeeded(source, message.value), outputBytes(message.value));
    case 'failed':
      return settleAll(deps, reports.failed(source, message.value));
    case 'released':
      return settleAll(deps, reports.released(source, message.value));
    case 'cancelAcknowledged':
      return settleAll(deps, reports.cancelAcknowledged(source, message.value));
    case 'credentials':
      return deps.access.renew(message.value.accessToken);
    case 'draining':
      session.demand(0, []);
      return engine.dispatch.leave(session);
    case 'pong':
      return;
    case 'hello':
      throw new DstcError('PROTOCOL_VIOLATION', 'Hello comes once, at the beginning of a stream');
    case undefined:
      throw new DstcError(
        'PROTOCOL_VIOLATION',
        'a message of the stream is empty, or of a kind this node does not know',
      );
  }
}

function demand({ session, engine }: Receiving, message: Demand): void {
  session.demand(
    message.credits,
    message.taskTypes.map(({ taskType, slots }) => [taskType, slots] as const),
  );
  engine.dispatch.roomIn(session);
}

/** Answers each report after its commit, and frees its place. The next message is read meanwhile. */
function settleAll(deps: Receiving, settlements: readonly Promise<Settlement>[], bytes = 0): void {
  const { session, engine, outbox, unsettled } = deps;
  for (const settlement of settlements) {
    const settled = settlement
      .then((item) => {
        outbox.settle(item);
        // What was refused has changed nothing, and a stale report says nothing of the lease that is held.
        if (item.lease === undefined || item.outcome === SettlementOutcome.REFUSED) return;
        const fence = fenceOf(item.lease);
        if (session.holds(fence)) engine.sessions.letGo(session, fence.leaseId);
      })
      .catch((error) => outbox.end(error));
    unsettled.add(settled, bytes / settlements.length);
  }
}

/** Of results; what is JSON is counted as it will be stored. */
function outputBytes({ items }: Succeeded): number {
  return items.reduce((bytes, { output }) => {
    if (output === undefined) return bytes;
    return bytes + (output.value.case === 'data' ? output.value.value : toBinary(PayloadSchema, output)).byteLength;
  }, 0);
}
