import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { ErrorReason } from '@dstc/contract/dstc/v1/error_pb';
import type { Assignment, HelloSchema, LeaseRef, Settlement } from '@dstc/contract/dstc/v1/worker_pb';
import { SettlementOutcome } from '@dstc/contract/dstc/v1/worker_pb';
import {
  WorkerService,
  type WorkRequest,
  WorkRequestSchema,
  type WorkResponse,
  WorkResponseSchema,
} from '@dstc/contract/dstc/v1/worker_service_pb';
import { ErrorInfoSchema } from '@dstc/contract/google/rpc/error_details_pb';
import { StatusSchema } from '@dstc/contract/google/rpc/status_pb';
import { Client, credentials, Metadata, type StatusObject, status } from '@grpc/grpc-js';

type Request = NonNullable<MessageInitShape<typeof WorkRequestSchema>['message']>;
type Response = Exclude<WorkResponse['message'], { case: undefined }>;
type Kind = Response['case'];
type ValueOf<K extends Kind> = Extract<Response, { case: K }>['value'];

/** How a stream ended: `OK`, or a code with the reason of its ErrorInfo. */
export interface StreamEnd {
  readonly code: string;
  readonly reason: string;
}

/** The worker's end of one stream, every message sent and awaited by hand. Only Ping is answered by itself. */
export interface RawWorker {
  readonly send: (message: Request) => void;
  /** The next message of a kind that was not taken yet; rejects when the stream ends or stays silent for `withinMs`. */
  readonly next: <K extends Kind>(kind: K, withinMs?: number) => Promise<ValueOf<K>>;
  /** Assignments until there are this many. */
  readonly assignments: (count: number, withinMs?: number) => Promise<Assignment[]>;
  /** Settlements of these leases, in their order. */
  readonly settlements: (leases: readonly (LeaseRef | undefined)[], withinMs?: number) => Promise<Settlement[]>;
  /** Every assignment so far, taken or not. */
  readonly assigned: readonly Assignment[];
  readonly ended: Promise<StreamEnd>;
  /** Says that nothing more comes, and waits for the end. */
  readonly goodbye: () => Promise<StreamEnd>;
  /** Reads nothing any more, and keeps the connection. */
  readonly stall: () => void;
  /** Ends the connection without a word. */
  readonly cut: () => void;
}

export interface RawWorkerOptions {
  readonly address: string;
  readonly token: string;
  /** PEM of the authority to trust; without one the connection is plaintext. */
  readonly ca?: string;
  /** Undefined sends no Hello. */
  readonly hello?: MessageInitShape<typeof HelloSchema>;
  /** False leaves pings without an answer. */
  readonly answersPings?: boolean;
}

const patienceMs = 5_000;

/** Opens a worker stream on a connection of its own. */
export function openRawWorker({ address, token, ca, hello, answersPings = true }: RawWorkerOptions): RawWorker {
  const channel = ca === undefined ? credentials.createInsecure() : credentials.createSsl(Buffer.from(ca));
  const client = new Client(address, channel, { 'grpc.use_local_subchannel_pool': 1 });
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const { method } = WorkerService;
  const call = client.makeBidiStreamRequest(
    `/${WorkerService.typeName}/${method.work.name}`,
    (message: WorkRequest) => Buffer.from(toBinary(WorkRequestSchema, message)),
    (bytes: Buffer) => fromBinary(WorkResponseSchema, bytes),
    metadata,
  );

  const untaken = new Map<Kind, Response[]>();
  const waiting = new Map<Kind, (() => void)[]>();
  const assigned: Assignment[] = [];
  const pendingAssignments: Assignment[] = [];
  const settled: Settlement[] = [];
  const end = Promise.withResolvers<StreamEnd>();
  let isOver = false;

  call.on('data', ({ message }: WorkResponse) => {
    if (message.case === undefined) return;
    if (message.case === 'ping' && answersPings) send({ case: 'pong', value: { nonce: message.value.nonce } });
    if (message.case === 'assignments') assigned.push(...message.value.items);
    untaken.set(message.case, [...(untaken.get(message.case) ?? []), message]);
    for (const wake of waiting.get(message.case)?.splice(0) ?? []) wake();
  });
  call.on('error', () => undefined);
  call.on('status', (final: StatusObject) => {
    isOver = true;
    end.resolve({ code: status[final.code] ?? String(final.code), reason: reasonOf(final.metadata) });
    client.close();
  });

  function send(message: Request): void {
    if (!isOver) call.write(create(WorkRequestSchema, { message }));
  }

  async function next<K extends Kind>(kind: K, withinMs = patienceMs): Promise<ValueOf<K>> {
    const deadlineMs = performance.now() + withinMs;
    for (;;) {
      const found = untaken.get(kind)?.shift();
      if (found !== undefined) return found.value as ValueOf<K>;
      await arrival(kind, deadlineMs);
    }
  }

  /** Resolves when a message of the kind has come. */
  async function arrival(kind: Kind, deadlineMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    waiting.set(kind, [...(waiting.get(kind) ?? []), resolve]);
    const timer = setTimeout(
      () => reject(new Error(`no ${kind} came in time; untaken: ${[...untaken.keys()].join(', ')}`)),
      deadlineMs - performance.now(),
    );
    void end.promise.then(({ code, reason }) => reject(new Error(`${code} ${reason} instead of ${kind}`)));
    try {
      await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  if (hello !== undefined) send({ case: 'hello', value: hello });
  return {
    send,
    next,
    assigned,
    async assignments(count, withinMs) {
      while (pendingAssignments.length < count) {
        pendingAssignments.push(...(await next('assignments', withinMs)).items);
      }
      return pendingAssignments.splice(0, count);
    },
    async settlements(leases, withinMs) {
      const found: Settlement[] = [];
      for (const lease of leases) {
        const place = () => settled.findIndex((item) => isSame(item.lease, lease));
        while (place() === -1) settled.push(...(await next('settled', withinMs)).items);
        found.push(...settled.splice(place(), 1));
      }
      return found;
    },
    ended: end.promise,
    async goodbye() {
      call.end();
      return end.promise;
    },
    stall: () => void call.pause(),
    cut() {
      call.cancel();
      client.close();
    },
  };
}

/** A settlement in words: `RECORDED`, or `REFUSED TASK_NOT_FOUND`. */
export function outcomeOf(settlement: Settlement | undefined): string {
  if (settlement === undefined) return 'none';
  const outcome = SettlementOutcome[settlement.outcome];
  return settlement.outcome === SettlementOutcome.REFUSED ? `${outcome} ${ErrorReason[settlement.error]}` : outcome;
}

/** The lease of an assignment. */
export function leaseOf(assignment: Assignment | undefined): LeaseRef {
  if (assignment?.lease === undefined) throw new Error('an assignment without a lease');
  return assignment.lease;
}

function isSame(one: LeaseRef | undefined, other: LeaseRef | undefined): boolean {
  return one?.taskId === other?.taskId && one?.attempt === other?.attempt && one?.leaseId === other?.leaseId;
}

function reasonOf(metadata: Metadata): string {
  const [details] = metadata.get('grpc-status-details-bin');
  if (!(details instanceof Uint8Array)) return '';
  for (const detail of fromBinary(StatusSchema, details).details) {
    if (detail.typeUrl.endsWith('google.rpc.ErrorInfo')) return fromBinary(ErrorInfoSchema, detail.value).reason;
  }
  return '';
}
