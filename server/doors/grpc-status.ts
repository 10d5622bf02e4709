import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import { create, toBinary } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import type { ConnectError } from '@connectrpc/connect';
import { StatusSchema } from '@dstc/contract/google/rpc/status_pb';
import { status as grpcCode, Metadata } from '@grpc/grpc-js';
import { DstcError } from '../domain/errors.ts';
import type { DoorLimits } from './door-limits.ts';
import { connectErrorOf, deadlineExceeded, type ErrorDeps, messageTooLarge, toDstcError } from './errors.ts';

export interface GrpcStatus {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

const detailsHeader = 'grpc-status-details-bin';

/** Services of gRPC itself, whose clients know what their statuses mean. */
const hasOwnStatuses = /^grpc\.(health|reflection)\./;

export function statusOf(error: ConnectError): GrpcStatus {
  const metadata = new Metadata();
  metadata.set(detailsHeader, statusDetails(error));
  return { code: error.code, details: error.rawMessage, metadata };
}

function statusDetails(error: ConnectError): Buffer {
  const details = error.details.flatMap((detail) =>
    'desc' in detail ? [anyPack(detail.desc, create(detail.desc, detail.value))] : [],
  );
  const status = create(StatusSchema, { code: error.code, message: error.rawMessage, details });
  return Buffer.from(toBinary(StatusSchema, status));
}

/**
 * Gives the statuses that grpc-js itself answers with (unknown RPCs, messages over the limit, …) the details that all our
 * errors have, and ends a request whose sender goes on after the answer.
 */
export function completeStatuses(
  deps: ErrorDeps & { readonly limits: DoorLimits },
  stream: ServerHttp2Stream,
  rpc: string,
): void {
  const respond = stream.respond.bind(stream);
  const sendTrailers = stream.sendTrailers.bind(stream);
  stream.respond = (headers, options) => {
    respond(headers === undefined || isRaw(headers) ? headers : complete(headers), options);
    if (options?.endStream === true) closeSoon(stream);
  };
  stream.sendTrailers = (headers) => {
    sendTrailers(isRaw(headers) ? headers : complete(headers));
    closeSoon(stream);
  };

  function complete(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
    const code = headers['grpc-status'];
    if (code === undefined || Number(code) === grpcCode.OK || headers[detailsHeader] !== undefined) return headers;
    if (hasOwnStatuses.test(rpc)) return headers;
    const foreign = decodeURIComponentSafely(String(headers['grpc-message'] ?? ''));
    const error = connectErrorOf(toDstcError(deps, ownError(deps.limits, Number(code), foreign, rpc), { rpc }));
    return {
      ...headers,
      'grpc-status': error.code,
      'grpc-message': encodeURI(error.rawMessage),
      [detailsHeader]: statusDetails(error).toString('base64'),
    };
  }
}

/** grpc-js's own status as one of our errors; what remains is a fault and is logged. */
function ownError(limits: DoorLimits, code: number, message: string, rpc: string): Error {
  switch (code) {
    case grpcCode.RESOURCE_EXHAUSTED:
      return messageTooLarge(limits.messageBytesMax);
    case grpcCode.UNIMPLEMENTED:
      if (message.includes('encoding')) {
        return new DstcError('UNIMPLEMENTED', 'the message is compressed in a way other than gzip or deflate');
      }
      if (/no request message|second request message/.test(message)) {
        return new DstcError('UNIMPLEMENTED', `${rpc} takes exactly one request message`);
      }
      return new DstcError('UNIMPLEMENTED', `the server has no RPC ${rpc}`);
    case grpcCode.DEADLINE_EXCEEDED:
      return deadlineExceeded();
    case grpcCode.CANCELLED:
      return new DstcError('CALL_CANCELLED', 'the caller has cancelled the call');
    case grpcCode.INTERNAL:
      if (message === 'Failed to decompress message')
        return new DstcError('FIELD_INVALID', 'the message cannot be decompressed');
      return new Error(`grpc-js answered: ${message}`);
    default:
      return new Error(`grpc-js answered ${code}: ${message}`);
  }
}

/** grpc-js writes headers as objects only. */
function isRaw(headers: OutgoingHttpHeaders | readonly string[]): headers is readonly string[] {
  return Array.isArray(headers);
}

/** Once the whole answer is out, what the client still sends is of no use (RFC 9113, section 8.1). */
function closeSoon(stream: ServerHttp2Stream): void {
  setImmediate(() => {
    if (!stream.destroyed && !stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
  });
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A lone percent sign: grpc-js passes some messages on as they are.
    return text;
  }
}
