import { create, fromJson, type JsonValue, toJson } from '@bufbuild/protobuf';
import { ValueSchema } from '@bufbuild/protobuf/wkt';
import { type Payload as PayloadMessage, PayloadSchema } from '@dstc/contract/dstc/v1/payload_pb';
import canonicalize from 'canonicalize';
import { fieldInvalid } from '../../domain/errors.ts';
import { isJson, jsonContentType, type Payload } from '../../domain/payload.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const empty: Payload = { data: new Uint8Array(), contentType: jsonContentType };

/** One encoding is stored: `json` becomes its text. */
export function payloadOf(field: string, message: PayloadMessage | undefined): Payload {
  if (message === undefined) return empty;
  const { value, contentType } = message;
  if (value.case !== 'json') {
    return { data: value.value ?? empty.data, contentType: contentType || jsonContentType };
  }
  if (contentType !== '' && !isJson(contentType)) {
    throw fieldInvalid(`${field}.content_type`, `is ${contentType}, but json was sent; send data instead`);
  }
  let text: string;
  try {
    text = JSON.stringify(toJson(ValueSchema, value.value));
  } catch {
    // NaN and infinities exist in the message, and not in JSON.
    throw fieldInvalid(`${field}.json`, 'has a number that JSON cannot hold');
  }
  return { data: Buffer.from(text), contentType: contentType || jsonContentType };
}

/**
 * What makes two payloads the same one. Maps of many languages have no order, so that the keys of `json` come in another
 * one when a request is repeated: its canonical form (RFC 8785) counts.
 */
export function payloadIdentity(message: PayloadMessage | undefined): Uint8Array {
  if (message?.value.case === 'data') return message.value.value;
  if (message?.value.case !== 'json') return empty.data;
  return Buffer.from(canonicalize(toJson(ValueSchema, message.value.value)) ?? '');
}

/** Back to the caller: as `json` to those who speak it, as `data` to all others. */
export function toPayload(payload: Payload, wantsJson: boolean): PayloadMessage {
  const { data, contentType } = payload;
  if (!wantsJson || !isJson(contentType) || data.byteLength === 0) {
    return create(PayloadSchema, { value: { case: 'data', value: data }, contentType });
  }
  try {
    const json = parseFiniteJson(utf8.decode(data));
    return create(PayloadSchema, { value: { case: 'json', value: fromJson(ValueSchema, json) }, contentType });
  } catch {
    // Said to be JSON by who sent it, and is not, or is more than a Value holds: it goes back as it came.
    return create(PayloadSchema, { value: { case: 'data', value: data }, contentType });
  }
}

/** JSON has larger numbers than a double, which would come out as infinite. A reviver is slow, so only where it may happen. */
export function parseFiniteJson(text: string): JsonValue {
  if (!/\d[eE]|\d{300}/.test(text)) return JSON.parse(text) as JsonValue;
  return JSON.parse(text, (_, value: unknown) => {
    if (typeof value === 'number' && !Number.isFinite(value)) throw new RangeError('the number is too large');
    return value;
  }) as JsonValue;
}
