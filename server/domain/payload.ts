import { DstcError, type FieldViolation } from './errors.ts';
import type { JsonCheck } from './json-schema.ts';
import { isLargerThan } from './json-size.ts';
import type { JsonValue } from './json-value.ts';

/** Data that is carried and not interpreted. */
export interface Payload {
  readonly data: Uint8Array;
  readonly contentType: string;
}

export const jsonContentType = 'application/json';

export function isJson(contentType: string): boolean {
  return contentType === jsonContentType || /^application\/(json;|[^;]+\+json(;|$))/.test(contentType);
}

/** Refuses a payload that is larger than the limit. */
export function checkPayloadSize(name: string, payload: Payload, bytesMax: number): void {
  if (payload.data.byteLength <= bytesMax) return;
  throw new DstcError(
    'PAYLOAD_TOO_LARGE',
    `${name} has ${payload.data.byteLength} bytes, more than the ${bytesMax} allowed; send less, or where it can be had`,
    { metadata: { limit_bytes: String(bytesMax), actual_bytes: String(payload.data.byteLength) } },
  );
}

/** JSON as a payload. Refuses what would be larger than the limit before it is written. */
export function jsonPayload(name: string, value: JsonValue, bytesMax: number): Payload {
  if (isLargerThan(bytesMax, value)) {
    const message = `${name} has more than the ${bytesMax} bytes allowed; send less, or where it can be had`;
    throw new DstcError('PAYLOAD_TOO_LARGE', message, { metadata: { limit_bytes: String(bytesMax) } });
  }
  return { data: Buffer.from(JSON.stringify(value)), contentType: jsonContentType };
}

/** What is wrong with a payload by a schema. */
export function payloadViolations(payload: Payload, check: JsonCheck): readonly FieldViolation[] {
  if (!isJson(payload.contentType)) return [{ field: '/', description: `must be JSON, not ${payload.contentType}` }];
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(payload.data));
  } catch {
    return [{ field: '/', description: 'is not JSON in UTF-8' }];
  }
  return check(value);
}

const decoder = new TextDecoder('utf-8', { fatal: true });
