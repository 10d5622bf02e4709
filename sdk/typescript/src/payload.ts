import { create, getOption, type JsonValue, toJson } from '@bufbuild/protobuf';
import { ValueSchema } from '@bufbuild/protobuf/wkt';
import { field } from '@dstc/contract/buf/validate/validate_pb';
import { type Payload, PayloadSchema } from '@dstc/contract/dstc/v1/payload_pb';

/** Bytes of any media type, for inputs and outputs that are not JSON. */
export interface BinaryPayload {
  readonly data: Uint8Array;
  readonly contentType: string;
}

export type { JsonValue };

const jsonType = 'application/json';

/**
 * A BinaryPayload as it is, anything else as JSON. `undefined` becomes JSON's null, as an absent result is still a
 * result.
 */
export function encodePayload(value: unknown): Payload {
  if (isBinaryPayload(value)) {
    return create(PayloadSchema, { value: { case: 'data', value: value.data }, contentType: value.contentType });
  }
  const text = JSON.stringify(value ?? null);
  if (text === undefined) throw new TypeError(`a ${typeof value} cannot be written as JSON`);
  return create(PayloadSchema, { value: { case: 'data', value: Buffer.from(text) }, contentType: jsonType });
}

/** The JSON value, a BinaryPayload for other media types, or undefined when there is no payload or an empty one. */
export function decodePayload(payload: Payload | undefined): unknown {
  if (payload === undefined || payload.value.case === undefined) return undefined;
  if (payload.value.case === 'json') return toJson(ValueSchema, payload.value.value);
  const data = payload.value.value;
  if (!isJson(payload.contentType)) return { data, contentType: payload.contentType } satisfies BinaryPayload;
  return data.length === 0 ? undefined : JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.length).toString());
}

/** Bytes of the data, for keeping messages under their limit. */
export function payloadBytes(payload: Payload | undefined): number {
  return payload?.value.case === 'data' ? payload.value.value.length : 0;
}

/** Whether the contract takes it: a media type, or nothing, which stands for JSON. */
export function isContentType(contentType: string): boolean {
  return contentType.length <= contentTypeRule.charsMax && contentTypeRule.pattern.test(contentType);
}

const contentTypeRule = readContentTypeRule();

function readContentTypeRule(): { readonly pattern: RegExp; readonly charsMax: number } {
  const { type } = getOption(PayloadSchema.field.contentType, field);
  if (type.case !== 'string') throw new Error('the contract has no rule for content types');
  return { pattern: new RegExp(type.value.pattern), charsMax: Number(type.value.maxLen) };
}

function isBinaryPayload(value: unknown): value is BinaryPayload {
  return (
    typeof value === 'object' &&
    value !== null &&
    'data' in value &&
    value.data instanceof Uint8Array &&
    'contentType' in value &&
    typeof value.contentType === 'string'
  );
}

function isJson(contentType: string): boolean {
  const [mediaType = ''] = contentType.toLowerCase().split(';', 1);
  return mediaType === '' || mediaType === jsonType || mediaType.endsWith('+json');
}
