import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Code, ConnectError, createServiceImplSpec, type HandlerContext, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { BadRequestSchema, ErrorInfoSchema } from '@dstc/contract/google/rpc/error_details_pb';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createCallers } from '../../server/auth/caller.ts';
import { createPolicy } from '../../server/auth/policy.ts';
import { createTokenVerifier } from '../../server/auth/tokens.ts';
import { DstcError } from '../../server/domain/errors.ts';
import { limits as domainLimits } from '../../server/domain/limits.ts';
import { callerOf } from '../../server/doors/context.ts';
import type { DoorLimits } from '../../server/doors/door-limits.ts';
import { startGrpcDoor } from '../../server/doors/grpc.ts';
import { startHttpDoor } from '../../server/doors/http.ts';
import { mountServices } from '../../server/doors/pipeline.ts';
import { soundMessages } from '../../server/doors/worker/sound-messages.ts';
import { startTestIdentityProvider } from '../setup/identity-provider.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';

const policyText = `
roles:
  producer: [submit, read, read_payload, cancel]
  worker: [work, read, monitor]
  operator: [operate, monitor]
bindings:
  - { role: producer, claims: { client_id: producer }, namespaces: [default], task_types: ['*'] }
  - { role: worker, claims: { client_id: worker }, namespaces: [default], task_types: ['*'] }
  - { role: operator, claims: { client_id: operator }, namespaces: ['*'], task_types: ['*'] }
`;

/** What the handlers behind the doors have seen. */
export interface Seen {
  /** Calls that reached a handler. */
  calls: number;
  /** Reasons that signals of handlers aborted with. */
  readonly aborts: unknown[];
  /** Streams whose handlers have ended. */
  streamsEnded: number;
}

/** Both doors over real sockets, real tokens and the real contract; only the engine behind them is small. */
export async function startRig(overrides: Partial<DoorLimits> = {}) {
  const limits: DoorLimits = { ...domainLimits, ...overrides };
  const identity = await startTestIdentityProvider();
  const directory = await temporaryDirectory();
  const policyFile = join(directory, 'policy.yaml');
  await writeFile(policyFile, policyText);
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const verifier = createTokenVerifier({ log }, [{ issuer: identity.issuer, audience: identity.audience }]);
  const policy = await createPolicy({ log }, policyFile);
  const callers = createCallers({ verifier, policy });
  const seen: Seen = { calls: 0, aborts: [], streamsEnded: 0 };
  let ready = true;
  const metrics = new Registry();
  const deps = {
    log,
    callers,
    metrics,
    ready: async () => {
      if (!ready) throw new Error('not ready');
    },
  };
  const services = mountServices({ log }, servicesOf(seen));
  const grpc = await startGrpcDoor(deps, { address: '127.0.0.1:0', services, limits });
  const http = await startHttpDoor(deps, { address: '127.0.0.1:0', services, limits });
  const grpcUrl = `http://127.0.0.1:${grpc.address.port}`;
  const httpUrl = `http://127.0.0.1:${http.address.port}`;

  return {
    identity,
    limits,
    seen,
    log: lines,
    deps,
    services,
    grpc,
    http,
    grpcUrl,
    httpUrl,
    policyFile,
    setReady: (value: boolean) => {
      ready = value;
    },
    transports: {
      grpc: createGrpcTransport({ baseUrl: grpcUrl }),
      connect: createConnectTransport({ baseUrl: httpUrl, httpVersion: '1.1' }),
      'connect JSON': createConnectTransport({ baseUrl: httpUrl, httpVersion: '1.1', useBinaryFormat: false }),
      'grpc-web': createGrpcWebTransport({ baseUrl: httpUrl, httpVersion: '1.1' }),
    } satisfies Record<string, Transport>,
    bearer: async (client: 'producer' | 'worker' | 'operator' = 'producer') => ({
      authorization: `Bearer ${await identity.token(client)}`,
    }),
    async stop() {
      policy.close();
      await grpc.stop();
      await http.stop();
      await identity.stop();
    },
  };
}

export type Rig = Awaited<ReturnType<typeof startRig>>;
export const transportNames = ['grpc', 'connect', 'connect JSON', 'grpc-web'] as const;

function servicesOf(seen: Seen) {
  const observe = (context: HandlerContext) => {
    seen.calls += 1;
    context.signal.addEventListener('abort', () => seen.aborts.push(context.signal.reason));
  };
  return [
    createServiceImplSpec<typeof TaskService>(TaskService, {
      async submitTask(request, context) {
        observe(context);
        const caller = callerOf(context);
        caller.require('submit', request.namespace || 'default', request.type);
        if (request.type === 'stuck') await new Promise(() => undefined);
        if (request.type === 'fault')
          throw new Error('the reactor melts', { cause: new SyntaxError('canary-payload') });
        if (request.type === 'large') return { task: { id: 'x'.repeat(9 * 1024 * 1024) } };
        const creator = caller.principal.actor;
        return {
          task: { type: request.type, creator, idempotencyKey: String(caller.wantsJson), labels: request.labels },
        };
      },
      getTask: (request) => ({ task: { id: request.id } }),
      async *watchTasks(request, context) {
        observe(context);
        try {
          for (let sequence = 1; request.ids.length > 1 || sequence <= 3; sequence += 1) {
            context.signal.throwIfAborted();
            yield {
              task: { id: request.ids[0] ?? '', eventSequence: sequence, labels: { filler: 'x'.repeat(16_384) } },
            };
          }
        } finally {
          seen.streamsEnded += 1;
        }
      },
    }),
    createServiceImplSpec<typeof WorkerService>(WorkerService, {
      async *work(requests, context) {
        observe(context);
        const inbound = soundMessages(requests, () => undefined);
        try {
          for (;;) {
            const next = await inbound.next();
            if (next.done) return;
            const { message } = next.value;
            if (message.case === 'hello') yield { message: { case: 'welcome', value: { sessionId: 'session' } } };
            if (message.case === 'pong') yield { message: { case: 'ping', value: { nonce: message.value.nonce } } };
            if (message.case !== 'released') continue;
            // Ends while it still reads, and with a last message on its way, as worker streams do.
            inbound.next().catch(() => undefined);
            const reason = 'x'.repeat(Number(message.value.reason));
            yield { message: { case: 'cancels', value: { items: [{ reason }] } } };
            throw new DstcError('TOKEN_INVALID', 'the token has expired');
          }
        } finally {
          seen.streamsEnded += 1;
        }
      },
    }),
  ];
}

/** A refusal as clients see it. */
export interface Refusal {
  readonly code: string;
  readonly reason: string;
  readonly infos: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly fields: readonly string[];
  readonly message: string;
}

/** What a call that must fail was answered with. */
export async function refusalOf(call: Promise<unknown>): Promise<Refusal> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConnectError)) throw new Error('the call was not refused', { cause: error });
  const infos = error.findDetails(ErrorInfoSchema);
  const fields = error.findDetails(BadRequestSchema).flatMap((bad) => bad.fieldViolations.map(({ field }) => field));
  return {
    code: Code[error.code],
    reason: infos[0]?.domain === 'dstc' ? infos[0].reason : '',
    infos: infos.length,
    metadata: infos[0]?.metadata ?? {},
    fields,
    message: error.rawMessage,
  };
}
