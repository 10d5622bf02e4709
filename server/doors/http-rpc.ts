import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  createConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
  type ServiceImplSpec,
} from '@connectrpc/connect';
import type { UniversalHandler, UniversalServerRequest } from '@connectrpc/connect/protocol';
import { compressionBrotli, compressionGzip, universalRequestFromNodeRequest } from '@connectrpc/connect-node';
import type { Callers } from '../auth/caller.ts';
import { DstcError } from '../domain/errors.ts';
import { authenticate } from './bearer.ts';
import { callerKey, cutKey, traceParentKey } from './context.ts';
import { parseConnectTimeout, parseGrpcTimeout, streamDeadlineMs, unaryDeadlineMs, untilAborted } from './deadline.ts';
import type { DoorLimits } from './door-limits.ts';
import { connectErrorOf, type ErrorDeps, toConnectError, toDstcError } from './errors.ts';
import { beforeDeadline } from './http-body.ts';
import { completeErrors } from './http-complete.ts';
import { sendError } from './http-error.ts';
import { endUnreadRequest, sendResponse } from './http-response.ts';

export interface HttpRpcDeps extends ErrorDeps {
  readonly callers: Callers;
  readonly limits: DoorLimits;
  /** Aborts when the door stops. */
  readonly stopped: AbortSignal;
}

/** Whether the request was for an RPC and is being answered. */
export type HttpRpcHandler = (request: IncomingMessage, response: ServerResponse) => boolean;

/** `textDecoder` is an option of Connect's JSON that the type of its router leaves out. */
const jsonOptions = {
  // A field or an enum value that is misspelt must not be dropped: a filter without it is another filter.
  ignoreUnknownFields: false,
  textDecoder: { decode: utf8Of },
};
const utf8 = new TextDecoder('utf-8', { fatal: true });

const authorizationKey = createContextKey<readonly string[]>([], { description: 'authorization' });

/** Serves the RPCs as Connect, gRPC-Web and plain JSON. */
export function createHttpRpcHandler(deps: HttpRpcDeps, services: readonly ServiceImplSpec[]): HttpRpcHandler {
  const { handlers, streamOnly } = routesOf(deps, services);

  return (request, response) => {
    const path = request.url?.split('?', 1)[0] ?? '';
    const handler = handlers.get(path);
    if (streamOnly.has(path)) {
      endUnreadRequest(request, response);
      sendError(response, needsHttp2(path));
      return true;
    }
    if (handler === undefined) return false;
    endUnreadRequest(request, response);
    serve(deps, handler, request, response).catch((error: unknown) => {
      sendError(response, toDstcError(deps, error, { rpc: path.slice(1) }));
    });
    return true;
  };
}

function routesOf(deps: HttpRpcDeps, services: readonly ServiceImplSpec[]) {
  const router = createConnectRouter({
    grpc: false,
    acceptCompression: [compressionGzip, compressionBrotli],
    readMaxBytes: deps.limits.messageBytesMax,
    writeMaxBytes: deps.limits.messageBytesMax,
    shutdownSignal: deps.stopped,
    jsonOptions,
    // Runs on the headers alone, before a byte of the body is read.
    requestGate: (context) => admit(deps, context),
  });
  const streamOnly = new Set<string>();
  for (const { service, methods } of services) {
    for (const spec of Object.values(methods)) {
      switch (spec.kind) {
        case 'unary':
          router.rpc(spec.method, spec.impl);
          break;
        case 'server_streaming':
          router.rpc(spec.method, spec.impl);
          break;
        case 'client_streaming':
          router.rpc(spec.method, spec.impl);
          break;
        case 'bidi_streaming':
          // HTTP/1 has no way for both sides to talk at the same time.
          streamOnly.add(`/${service.typeName}/${spec.method.name}`);
          break;
      }
    }
  }
  return { handlers: new Map(router.handlers.map((handler) => [handler.requestPath, handler])), streamOnly };
}

/** Connect would put U+FFFD for every byte that is wrong, and two bodies that differ would be the same. */
function utf8Of(bytes?: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw connectErrorOf(new DstcError('FIELD_INVALID', 'the body is not UTF-8', { cause }));
  }
}

async function admit(deps: HttpRpcDeps, context: HandlerContext): Promise<void> {
  const authorization = context.values.get(authorizationKey);
  const wantsJson = speaksJson(context);
  try {
    // An issuer that does not answer must not keep the caller past the deadline either.
    const caller = await untilAborted(context.signal, () => authenticate(deps.callers, authorization, { wantsJson }));
    context.values.set(callerKey, caller);
  } catch (error) {
    throw toConnectError(deps, error, { rpc: context.method.name });
  }
}

function speaksJson(context: HandlerContext): boolean {
  if (context.requestMethod === 'GET') return new URL(context.url).searchParams.get('encoding') !== 'proto';
  return /^application\/(?:json|connect\+json|grpc-web\+json)\b/.test(context.requestHeader.get('content-type') ?? '');
}

async function serve(
  deps: HttpRpcDeps,
  handler: UniversalHandler,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const rpc = handler.requestPath.slice(1);
  const bodyMs = boundTimeouts(deps.limits, handler, request);
  const cut = new AbortController();
  const values = createContextValues()
    .set(cutKey, (error) => cut.abort(error))
    .set(authorizationKey, request.headersDistinct.authorization ?? [])
    .set(traceParentKey, request.headersDistinct.traceparent?.[0]);
  const universal = readUniversal(request, response, values);
  const body = beforeDeadline(universal.body as AsyncIterable<Uint8Array>, request, bodyMs);
  const answer = await handler({ ...universal, body });
  if (response.destroyed) return;
  if (answer.status !== 200 && answer.body === undefined) {
    sendError(response, wrongRequest(answer.status, handler), answer.status);
    return;
  }
  await sendResponse(deps.limits, await completeErrors(deps, answer, rpc), response, cut.signal);
}

/**
 * Connect takes the deadline from the request's header, without bounds of its own: writes the bounded one there. Returns how
 * long the body may take.
 */
function boundTimeouts(limits: DoorLimits, handler: UniversalHandler, request: IncomingMessage): number {
  const { headers } = request;
  const web = headers['content-type']?.startsWith('application/grpc-web') ?? false;
  const clientMs = web
    ? parseGrpcTimeout(headers['grpc-timeout']?.toString())
    : parseConnectTimeout(headers['connect-timeout-ms']?.toString());
  const unaryMs = unaryDeadlineMs(limits, clientMs);
  const deadlineMs = handler.method.methodKind === 'unary' ? unaryMs : streamDeadlineMs(clientMs);
  delete headers['grpc-timeout'];
  delete headers['connect-timeout-ms'];
  if (deadlineMs !== undefined) {
    // gRPC allows eight digits.
    if (web) headers['grpc-timeout'] = deadlineMs < 1e8 ? `${deadlineMs}m` : `${Math.floor(deadlineMs / 1_000)}S`;
    else headers['connect-timeout-ms'] = String(deadlineMs);
  }
  return unaryMs;
}

function readUniversal(
  request: IncomingMessage,
  response: ServerResponse,
  values: ReturnType<typeof createContextValues>,
): UniversalServerRequest {
  try {
    return universalRequestFromNodeRequest(request, response, undefined, values);
  } catch (cause) {
    throw new DstcError('FIELD_INVALID', 'the request has no usable host or path', { cause });
  }
}

function needsHttp2(path: string): DstcError {
  return new DstcError(
    'UNIMPLEMENTED',
    `${path.slice(1)} needs HTTP/2: use the gRPC port, or LeaseTasks, ReportTasks and ExtendLeases here`,
  );
}

function wrongRequest(status: number, { method, requestPath }: UniversalHandler): DstcError {
  const rpc = requestPath.slice(1);
  if (status === 405) return new DstcError('UNIMPLEMENTED', `${rpc} is called with POST`);
  if (status !== 415) return new DstcError('UNIMPLEMENTED', `${rpc} cannot be called like this`);
  if (method.methodKind !== 'unary') {
    const plain = plainTwins[method.name];
    return new DstcError(
      'UNIMPLEMENTED',
      `${rpc} answers with a stream, which takes application/connect+json, application/connect+proto or gRPC-Web` +
        (plain === undefined ? '' : `; with plain JSON, use ${plain}`),
    );
  }
  return new DstcError(
    'UNIMPLEMENTED',
    `${rpc} takes application/json, application/proto, or the types of Connect and gRPC-Web`,
  );
}

/** What to do with plain JSON instead of reading a stream. */
const plainTwins: Readonly<Record<string, string>> = {
  WatchTasks: 'AwaitTask',
  SubscribeEvents: 'a webhook, or ListTaskEvents for one task',
};
