import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  fromJson,
  type JsonValue,
  type MessageInitShape,
  type MessageShape,
  toBinary,
  toJsonString,
} from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { codeFromString, codeToHttpStatus } from '@connectrpc/connect/protocol-connect';
import { BadRequestSchema, ErrorInfoSchema } from '@dstc/contract/google/rpc/error_details_pb';
import { StatusSchema } from '@dstc/contract/google/rpc/status_pb';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';

/** A call that was answered with an error, as much of it as both doors tell. */
export class Refusal extends Error {
  readonly code: string;
  readonly infos: readonly ErrorInfo[];
  readonly violations: readonly { readonly field: string; readonly description: string }[];

  constructor(code: number, message: string, details: readonly Detail[]) {
    super(message);
    this.code = Code[code] ?? String(code);
    this.infos = details.flatMap(({ type, value }) =>
      type === ErrorInfoSchema.typeName ? [plain(ErrorInfoSchema, value)] : [],
    );
    this.violations = details.flatMap(({ type, value }) =>
      type === BadRequestSchema.typeName
        ? fromBinary(BadRequestSchema, value).fieldViolations.map(({ field, description }) => ({ field, description }))
        : [],
    );
  }
}

interface ErrorInfo {
  readonly reason: string;
  readonly domain: string;
  readonly metadata: Readonly<Record<string, string>>;
}

interface Detail {
  readonly type: string;
  readonly value: Uint8Array;
}

function plain(schema: typeof ErrorInfoSchema, value: Uint8Array) {
  const { reason, domain, metadata } = fromBinary(schema, value);
  return { reason, domain, metadata: { ...metadata } };
}

export interface Caller {
  /** Rejects with `Refusal`. */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    token: string,
  ): Promise<MessageShape<O>>;
  close(): void;
}

/** Calls with grpc-js alone. */
export function grpcCaller(address: string): Caller {
  const client = new Client(address, credentials.createInsecure());
  return {
    call: (method, request, token) =>
      new Promise((resolve, reject) => {
        const metadata = new Metadata();
        metadata.set('authorization', `Bearer ${token}`);
        client.makeUnaryRequest(
          `/${method.parent.typeName}/${method.name}`,
          (message) => Buffer.from(toBinary(method.input, message)),
          (bytes) => fromBinary(method.output, bytes),
          create(method.input, request),
          metadata,
          { deadline: Date.now() + 30_000 },
          (error, answer) => (answer === undefined ? reject(grpcRefusal(error)) : resolve(answer)),
        );
      }),
    close: () => client.close(),
  };
}

function grpcRefusal(error: ServiceError | null): unknown {
  const bytes = error?.metadata.get('grpc-status-details-bin')[0];
  if (error === null || !(bytes instanceof Buffer)) return error;
  const { code, message, details } = fromBinary(StatusSchema, bytes);
  if (code !== error.code || message !== error.details) return new Error('the status and its details differ');
  return new Refusal(
    code,
    message,
    details.map((any) => ({ type: any.typeUrl.slice(any.typeUrl.indexOf('/') + 1), value: any.value })),
  );
}

/** Calls with fetch alone: JSON in, JSON out. */
export function jsonCaller(url: string): Caller {
  return {
    async call(method, request, token) {
      const message = create(method.input, request);
      return fromJson(method.output, await postJson(url, method, toJsonString(method.input, message), token));
    },
    close: () => undefined,
  };
}

/** Sends a body as it stands. Rejects with `Refusal`. */
export async function postJson<I extends DescMessage, O extends DescMessage>(
  url: string,
  method: DescMethodUnary<I, O>,
  body: string,
  token: string,
): Promise<JsonValue> {
  const response = await fetch(`${url}/${method.parent.typeName}/${method.name}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body,
  });
  const answer = (await response.json()) as JsonValue;
  if (response.ok) return answer;
  throw httpRefusal(response.status, answer as unknown as ErrorBody);
}

interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly details?: readonly { readonly type: string; readonly value: string }[];
}

function httpRefusal(status: number, { code, message, details = [] }: ErrorBody): unknown {
  const known = codeFromString(code);
  if (known === undefined || codeToHttpStatus(known) !== status) return new Error(`${status} does not go with ${code}`);
  return new Refusal(
    known,
    message,
    details.map(({ type, value }) => ({ type, value: Buffer.from(value, 'base64') })),
  );
}
