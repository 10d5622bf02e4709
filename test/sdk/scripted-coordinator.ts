import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { anyPack, durationFromMs } from '@bufbuild/protobuf/wkt';
import type { WelcomeSchema } from '@dstc/contract/dstc/v1/worker_pb';
import {
  WorkerService,
  type WorkRequest,
  WorkRequestSchema,
  WorkResponseSchema,
} from '@dstc/contract/dstc/v1/worker_service_pb';
import { ErrorInfoSchema } from '@dstc/contract/google/rpc/error_details_pb';
import { StatusSchema } from '@dstc/contract/google/rpc/status_pb';
import { Metadata, Server, ServerCredentials, type ServerDuplexStream, type status } from '@grpc/grpc-js';

type Request = Exclude<WorkRequest['message'], { case: undefined }>;
type RequestOf<C extends Request['case']> = Extract<Request, { case: C }>;
type Response = NonNullable<MessageInitShape<typeof WorkResponseSchema>['message']>;

/** The coordinator's end of one worker stream, for a test that plays the coordinator. */
export interface ScriptedStream {
  readonly token: string;
  /** The next message of a kind; others that come before it are passed over. */
  next<C extends Request['case']>(kind: C): Promise<RequestOf<C>>;
  send(message: Response): void;
  welcome(welcome?: MessageInitShape<typeof WelcomeSchema>): void;
  fail(code: status, reason: string): void;
  /** Resolves when the worker has half-closed or cut the stream. */
  readonly closed: Promise<void>;
}

export interface ScriptedCoordinator {
  readonly address: string;
  /** The next stream that a worker opens. */
  nextStream(): Promise<ScriptedStream>;
  stop(): void;
}

/** A gRPC server that speaks the worker protocol as the test says, for what a real coordinator does only by bad luck. */
export async function startScriptedCoordinator(): Promise<ScriptedCoordinator> {
  const streams = queue<ScriptedStream>();
  const server = new Server();
  const method = WorkerService.method.work;
  const definition = {
    work: {
      path: `/${WorkerService.typeName}/${method.name}`,
      requestStream: true,
      responseStream: true,
      requestSerialize: bytesOf(WorkRequestSchema),
      requestDeserialize: (bytes: Buffer) => fromBinary(WorkRequestSchema, bytes),
      responseSerialize: bytesOf(WorkResponseSchema),
      responseDeserialize: (bytes: Buffer) => fromBinary(WorkResponseSchema, bytes),
    },
  } as const;
  server.addService(definition, {
    work: (call: ServerDuplexStream<WorkRequest, MessageShape<typeof WorkResponseSchema>>) =>
      streams.put(scripted(call)),
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { address: `127.0.0.1:${port}`, nextStream: () => streams.take(), stop: () => server.forceShutdown() };
}

function scripted(call: ServerDuplexStream<WorkRequest, MessageShape<typeof WorkResponseSchema>>): ScriptedStream {
  const messages = queue<Request>();
  let close = (): void => undefined;
  const closed = new Promise<void>((resolve) => {
    close = resolve;
  });
  call.on('data', ({ message }: WorkRequest) => {
    if (message.case !== undefined) messages.put(message);
  });
  call.on('end', () => {
    close();
    call.end();
  });
  call.on('cancelled', close);
  call.on('error', close);
  const send = (message: Response): void => {
    call.write(create(WorkResponseSchema, { message }));
  };
  return {
    token: String(call.metadata.get('authorization')[0]).replace('Bearer ', ''),
    next: (kind) => nextOf(messages, kind),
    send,
    welcome: (welcome = {}) =>
      send({
        case: 'welcome',
        value: {
          sessionId: '01890000-0000-7000-8000-000000000001',
          resumeSecret: 'secret',
          heartbeatInterval: durationFromMs(5_000),
          leaseDuration: durationFromMs(10_000),
          deliveryTimeout: durationFromMs(3_000),
          payloadBytesMax: 2_097_152n,
          messageBytesMax: 8_388_608n,
          ...welcome,
        },
      }),
    fail(code, reason) {
      const info = anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { domain: 'dstc', reason }));
      const metadata = new Metadata();
      const details = toBinary(StatusSchema, create(StatusSchema, { code, message: reason, details: [info] }));
      metadata.set('grpc-status-details-bin', Buffer.from(details));
      call.emit('error', { code, details: reason, metadata });
    },
    closed,
  };
}

async function nextOf<C extends Request['case']>(messages: Queue<Request>, kind: C): Promise<RequestOf<C>> {
  for (;;) {
    const message = await messages.take();
    if (isKind(message, kind)) return message;
  }
}

function isKind<C extends Request['case']>(message: Request, kind: C): message is RequestOf<C> {
  return message.case === kind;
}

function bytesOf<D extends DescMessage>(schema: D) {
  return (message: MessageShape<D>): Buffer => Buffer.from(toBinary(schema, message));
}

interface Queue<T> {
  put(item: T): void;
  take(): Promise<T>;
}

function queue<T>(): Queue<T> {
  const items: T[] = [];
  const takers: ((item: T) => void)[] = [];
  return {
    put(item) {
      const taker = takers.shift();
      if (taker === undefined) items.push(item);
      else taker(item);
    },
    take() {
      const item = items.shift();
      return item === undefined ? new Promise((resolve) => takers.push(resolve)) : Promise.resolve(item);
    },
  };
}
