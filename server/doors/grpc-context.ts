import { createContextValues, type HandlerContext, type MethodImplSpec } from '@connectrpc/connect';
import { Metadata } from '@grpc/grpc-js';
import { callerKey, cutKey, traceParentKey } from './context.ts';
import type { Arrival } from './grpc-arrivals.ts';

export interface GrpcContext extends HandlerContext {
  /** What the handler has set, if anything. */
  responseMetadata(): { readonly header: Metadata | undefined; readonly trailer: Metadata | undefined };
}

/** A handler's context on the gRPC door. Headers are made when asked for, as few handlers do and they are slow to make. */
export function createGrpcContext(arrival: Arrival, spec: MethodImplSpec, metadata: Metadata): GrpcContext {
  let requestHeader: Headers | undefined;
  let responseHeader: Headers | undefined;
  let responseTrailer: Headers | undefined;
  return {
    method: spec.method,
    service: spec.method.parent,
    signal: arrival.controller.signal,
    timeoutMs: () => (arrival.deadlineAtMs === undefined ? undefined : arrival.deadlineAtMs - performance.now()),
    requestMethod: 'POST',
    protocolName: 'grpc',
    url: `/${arrival.rpc}`,
    values: createContextValues()
      .set(callerKey, arrival.caller)
      .set(cutKey, (error) => arrival.controller.abort(error))
      .set(traceParentKey, metadata.get('traceparent')[0]?.toString()),
    get requestHeader() {
      requestHeader ??= headersOf(metadata);
      return requestHeader;
    },
    get responseHeader() {
      responseHeader ??= new Headers();
      return responseHeader;
    },
    get responseTrailer() {
      responseTrailer ??= new Headers();
      return responseTrailer;
    },
    responseMetadata: () => ({ header: metadataOf(responseHeader), trailer: metadataOf(responseTrailer) }),
  };
}

function metadataOf(headers: Headers | undefined): Metadata | undefined {
  if (headers === undefined) return undefined;
  const metadata = new Metadata();
  headers.forEach((value, name) => {
    metadata.set(name, name.endsWith('-bin') ? Buffer.from(value, 'base64') : value);
  });
  return metadata;
}

function headersOf(metadata: Metadata): Headers {
  const headers = new Headers();
  for (const [name, values] of Object.entries(metadata.toHttp2Headers())) {
    for (const value of [values].flat()) {
      if (value !== undefined) headers.append(name, String(value));
    }
  }
  return headers;
}
