import { create } from '@bufbuild/protobuf';
import type { HandlerContext } from '@connectrpc/connect';
import {
  AssignmentsSchema,
  CancelsSchema,
  DrainSchema,
  type Hello,
  ReconciledSchema,
  WelcomeSchema,
} from '@dstc/contract/dstc/v1/worker_pb';
import type { WorkRequest, WorkResponse } from '@dstc/contract/dstc/v1/worker_service_pb';
import type { Logger } from 'pino';
import type { Callers } from '../../auth/caller.ts';
import { DstcError } from '../../domain/errors.ts';
import { parseSessionId } from '../../domain/ids.ts';
import { limits } from '../../domain/limits.ts';
import type { Engine } from '../../engine/engine.ts';
import type { LiveSession, SessionOutlet } from '../../engine/live-session.ts';
import { type WorkerInfo, workerDrained } from '../../engine/sessions.ts';
import type { DrainNotice } from '../../store/sessions.ts';
import { callerOf, cutKey } from '../context.ts';
import { fenceOf, toAssignment, toCancel, toReconciled, toStop } from '../convert/lease.ts';
import { namespaceOf } from '../convert/namespace.ts';
import { toDuration } from '../convert/time.ts';
import { type Access, createAccess } from './access.ts';
import { inBatches } from './batches.ts';
import { receiveHello, workerInfoOf } from './hello.ts';
import { createOutbox, type Outbox } from './outbox.ts';
import { receive } from './receive.ts';
import type { WorkerReports } from './reports.ts';
import { soundMessages } from './sound-messages.ts';
import { createUnsettled } from './unsettled.ts';
import { keepVigil } from './vigil.ts';

export interface WorkDeps {
  readonly engine: Engine;
  readonly callers: Callers;
  readonly reports: WorkerReports;
  readonly log: Logger;
  readonly leaseMs: number;
  readonly payloadBytesMax: number;
  /** Aborts when the node shuts down: streams are told to go elsewhere. */
  readonly draining: AbortSignal;
}

/** One worker stream, from Hello to its end. */
export async function* work(
  deps: WorkDeps,
  requests: AsyncIterable<WorkRequest>,
  context: HandlerContext,
): AsyncGenerator<WorkResponse> {
  const inbound = soundMessages(requests, (refusal) => outbox.settle(refusal));
  const hello = await receiveHello(inbound);
  const caller = callerOf(context);
  const access = createAccess(deps.callers, caller, namespaceOf(hello));
  const info = workerInfoOf(hello, caller, access.may);
  const onRoom = () => deps.engine.dispatch.roomIn(session);
  const outbox = createOutbox({ onRoom, cut: context.values.get(cutKey) });
  const session = await openInTime(deps, access, openSession(deps, hello, info, outbox));

  const vigil = keepVigil({ session, access, outbox, heartbeatMs: heartbeatMsOf(deps) });
  const stopWatchingPolicy = caller.onPolicyChange(() => withdraw(deps, session, outbox));
  const drain = () => startDrain(deps, session, outbox);
  deps.draining.addEventListener('abort', drain);
  const closed = new AbortController();
  const receiving = receive(
    { ...deps, access, session, outbox, closed: closed.signal, unsettled: createUnsettled() },
    inbound,
  );
  if (deps.draining.aborted) drain();
  else deps.engine.dispatch.join(session);
  // The policy may have changed while the session was opened.
  withdraw(deps, session, outbox);

  let endedInOrder = false;
  try {
    yield* outbox;
    endedInOrder = true;
  } finally {
    vigil.stop();
    stopWatchingPolicy();
    deps.draining.removeEventListener('abort', drain);
    closed.abort();
    await leave(deps, session, endedInOrder && (await receiving) === 'goodbye', access);
  }
}

function heartbeatMsOf({ leaseMs }: WorkDeps): number {
  return Math.min(leaseMs / 3, limits.heartbeatMsMax);
}

/** Waits for a session to be opened, however long that takes, but not longer than the token lives. */
async function openInTime(deps: WorkDeps, access: Access, opening: Promise<LiveSession>): Promise<LiveSession> {
  try {
    return await access.before(opening);
  } catch (error) {
    // Nobody will serve it; when the opening has failed, there is none.
    opening.then(
      (session) => deps.engine.sessions.detach(session),
      () => undefined,
    );
    throw error;
  }
}

/** Begins a session or goes on with one, and answers Hello. */
async function openSession(deps: WorkDeps, hello: Hello, info: WorkerInfo, outbox: Outbox): Promise<LiveSession> {
  const { sessions } = deps.engine;
  const outlet = createOutlet(outbox);
  const { resume } = hello;
  let claim: { readonly sessionId: ReturnType<typeof parseSessionId>; readonly secret: string };
  let drain: DrainNotice | undefined;
  if (resume === undefined) {
    claim = await sessions.create(info);
  } else {
    claim = { sessionId: parseSessionId(resume.sessionId), secret: resume.resumeSecret };
    drain = await sessions.prove(info, claim);
  }
  const session = sessions.attach(claim.sessionId, info, outlet);
  outbox.push({
    case: 'welcome',
    value: create(WelcomeSchema, {
      sessionId: claim.sessionId,
      resumeSecret: claim.secret,
      heartbeatInterval: toDuration(Math.round(heartbeatMsOf(deps))),
      leaseDuration: toDuration(deps.leaseMs),
      deliveryTimeout: toDuration(limits.deliveryMs),
      payloadBytesMax: BigInt(deps.payloadBytesMax),
      messageBytesMax: BigInt(limits.messageBytesMax),
    }),
  });
  if (resume !== undefined) {
    const verdicts = await sessions.reconcile(session, resume.held.map(fenceOf));
    outbox.push({ case: 'reconciled', value: create(ReconciledSchema, { items: verdicts.map(toReconciled) }) });
  }
  if (drain !== undefined) session.drain(drain);
  return session;
}

function createOutlet(outbox: Outbox): SessionOutlet {
  let wasStopped = false;
  return {
    assign(tasks) {
      for (const batch of inBatches(tasks, (task) => task.input.byteLength)) {
        const items = batch.items.map((task) => toAssignment(task, false));
        outbox.push({ case: 'assignments', value: create(AssignmentsSchema, { items }) }, batch.bytes);
      }
    },
    cancel(notices) {
      outbox.push({ case: 'cancels', value: create(CancelsSchema, { items: notices.map(toCancel) }) });
    },
    stop(notice) {
      wasStopped = true;
      outbox.push({ case: 'stop', value: toStop(notice) });
    },
    lost() {
      const message = 'the worker session has ended or moved on; begin a new one';
      outbox.end(wasStopped ? workerDrained() : new DstcError('SESSION_NOT_FOUND', message));
    },
    isCongested: outbox.isCongested,
  };
}

/** Takes back what the principal may not work on any more, and tells the worker to stop it. */
function withdraw(deps: WorkDeps, session: LiveSession, outbox: Outbox): void {
  if ([...session.types].every((type) => !session.may(type))) {
    outbox.end(
      new DstcError('PERMISSION_MISSING', 'you may not work on any of the task types of this stream any more'),
    );
    return;
  }
  deps.engine.sessions.withdraw(session);
}

/** Tells the worker to go elsewhere; the stream ends when it does, or when the time is over. */
function startDrain(deps: WorkDeps, session: LiveSession, outbox: Outbox): void {
  deps.engine.dispatch.leave(session);
  outbox.push({ case: 'drain', value: create(DrainSchema, { within: toDuration(limits.drainMs) }) });
  const error = new DstcError('NODE_DRAINING', 'this node shuts down; connect to another one', { retryDelayMs: 250 });
  setTimeout(() => outbox.end(error), limits.drainMs).unref();
}

async function leave(deps: WorkDeps, session: LiveSession, goodbye: boolean, access: Access): Promise<void> {
  try {
    // Without the right to work, the leases go back now, unspent, instead of at the end of the session.
    if (access.leftMs() <= 0 || [...session.types].every((type) => !session.may(type))) {
      deps.engine.sessions.withdraw(session);
    }
    if (goodbye) await deps.engine.sessions.end(session);
    else deps.engine.sessions.detach(session);
  } catch (error) {
    // The session ends by itself one lease after the last sign of life.
    deps.log.warn({ err: error, session: session.sessionId }, 'a worker session was not ended in order');
  }
}
