import type { JsonValue } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { createAsyncIterable, type UniversalServerResponse } from '@connectrpc/connect/protocol';
import { codeToHttpStatus, endStreamFlag, errorFromJson, errorToJson } from '@connectrpc/connect/protocol-connect';
import { findTrailerError, setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { DstcError } from '../domain/errors.ts';
import type { DoorLimits } from './door-limits.ts';
import { connectErrorOf, type ErrorDeps, messageTooLarge, toDstcError } from './errors.ts';

type Deps = ErrorDeps & { readonly limits: DoorLimits };

const grpcWebTrailerFlag = 0x80;
const compressedFlag = 0x01;

/**
 * Gives errors that Connect raises by itself (unparsable bodies, limits, …) the details that all our errors have. They leave
 * its handlers only in their wire form, of which there are three: a JSON body, an end-of-stream message, and trailers.
 */
export async function completeErrors(
  deps: Deps,
  response: UniversalServerResponse,
  rpc: string,
): Promise<UniversalServerResponse> {
  const { body, header } = response;
  if (body === undefined || header === undefined) return response;
  const contentType = header.get('content-type') ?? '';
  if (response.status !== 200) {
    if (contentType !== 'application/json' || header.has('content-encoding')) return response;
    return completeUnary(deps, response, body, header, rpc);
  }
  if (contentType.startsWith('application/connect+')) {
    return { ...response, body: completeLast(body, endStreamFlag, (data) => completeEndStream(deps, data, rpc)) };
  }
  if (contentType.startsWith('application/grpc-web')) {
    return { ...response, body: completeLast(body, grpcWebTrailerFlag, (data) => completeTrailers(deps, data, rpc)) };
  }
  return response;
}

async function completeUnary(
  deps: Deps,
  response: UniversalServerResponse,
  body: AsyncIterable<Uint8Array>,
  header: Headers,
  rpc: string,
): Promise<UniversalServerResponse> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const json: JsonValue = JSON.parse(bytes.toString('utf8'));
  if (hasDetails(json)) return { ...response, body: createAsyncIterable([bytes]) };
  const error = completed(deps, errorOf(json), rpc);
  const answer = Buffer.from(JSON.stringify(errorToJson(error, undefined)));
  header.set('content-length', String(answer.byteLength));
  return { status: codeToHttpStatus(error.code), header, body: createAsyncIterable([answer]) };
}

/** Each chunk is one envelope: flags, length, data. */
async function* completeLast(
  body: AsyncIterable<Uint8Array>,
  flag: number,
  complete: (data: Buffer) => Buffer,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    const flags = chunk[0] ?? 0;
    if ((flags & flag) === 0 || (flags & compressedFlag) !== 0) {
      yield chunk;
      continue;
    }
    const data = complete(Buffer.from(chunk.buffer, chunk.byteOffset + 5, chunk.byteLength - 5));
    const envelope = Buffer.alloc(5 + data.byteLength);
    envelope.writeUInt8(flags, 0);
    envelope.writeUInt32BE(data.byteLength, 1);
    data.copy(envelope, 5);
    yield envelope;
  }
}

function completeEndStream(deps: Deps, data: Buffer, rpc: string): Buffer {
  const end: { readonly error?: JsonValue } = JSON.parse(data.toString('utf8'));
  if (end.error === undefined || hasDetails(end.error)) return data;
  const error = errorToJson(completed(deps, errorOf(end.error), rpc), undefined);
  return Buffer.from(JSON.stringify({ ...end, error }));
}

function completeTrailers(deps: Deps, data: Buffer, rpc: string): Buffer {
  const trailers = new Headers();
  for (const line of data.toString('latin1').split('\r\n')) {
    const at = line.indexOf(':');
    if (at > 0) trailers.append(line.slice(0, at).trim(), line.slice(at + 1).trim());
  }
  const error = findTrailerError(trailers);
  if (error === undefined || error.details.length > 0) return data;
  setTrailerStatus(trailers, completed(deps, error, rpc));
  const lines: string[] = [];
  trailers.forEach((value, name) => {
    lines.push(`${name}: ${value}\r\n`);
  });
  return Buffer.from(lines.join(''), 'latin1');
}

function hasDetails(json: JsonValue): boolean {
  return typeof json === 'object' && json !== null && 'details' in json;
}

function errorOf(json: JsonValue): ConnectError {
  return errorFromJson(json, undefined, new ConnectError('an error without a code', Code.Internal));
}

/** Connect calls some mistakes of the caller internal errors. */
function completed(deps: Deps, error: ConnectError, rpc: string): ConnectError {
  if (error.code === Code.Internal && /^(parse binary:|received compressed envelope)/.test(error.rawMessage)) {
    return connectErrorOf(new DstcError('FIELD_INVALID', 'the message cannot be parsed'));
  }
  const own = toDstcError(deps, error, { rpc });
  return connectErrorOf(own.reason === 'MESSAGE_TOO_LARGE' ? messageTooLarge(deps.limits.messageBytesMax) : own);
}
