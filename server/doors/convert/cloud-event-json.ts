import { type CloudEvent, ownAttributes } from '../../domain/cloud-event.ts';
import { DstcError, fieldInvalid } from '../../domain/errors.ts';
import { isJson, jsonContentType, type Payload } from '../../domain/payload.ts';
import { parseFiniteJson } from './payload.ts';

type Members = Readonly<Record<string, unknown>>;

const decoder = new TextDecoder('utf-8', { fatal: true });
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** What an event of structured mode, or a batch of them, says: JSON in UTF-8. */
export function readJson(body: Uint8Array): unknown {
  let text: string;
  try {
    text = decoder.decode(body);
  } catch {
    throw new DstcError('FIELD_INVALID', 'the body is not UTF-8');
  }
  try {
    return parseFiniteJson(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw new DstcError('FIELD_INVALID', 'the body is not JSON');
    throw new DstcError('FIELD_INVALID', 'the body has a number that JSON cannot hold, or is nested too deeply');
  }
}

/**
 * An event in the JSON format of CloudEvents. Throws FIELD_INVALID for members that it cannot have; what its attributes
 * say is checked afterwards, as for all events.
 */
export function cloudEventOfJson(json: unknown): CloudEvent {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new DstcError('FIELD_INVALID', 'an event is a JSON object');
  }
  const members = json as Members;
  if (members.specversion !== '1.0') throw fieldInvalid('specversion', 'must be 1.0');
  return {
    id: optionalText(members, 'id') ?? '',
    source: optionalText(members, 'source') ?? '',
    type: optionalText(members, 'type') ?? '',
    subject: optionalText(members, 'subject'),
    time: optionalText(members, 'time'),
    dataSchema: optionalText(members, 'dataschema'),
    extensions: Object.fromEntries(extensionsOf(members)),
    data: dataOf(members),
  };
}

/** A member that is null is unset. */
function memberOf(members: Members, name: string): unknown {
  return Object.hasOwn(members, name) ? (members[name] ?? undefined) : undefined;
}

function optionalText(members: Members, name: string): string | undefined {
  const value = memberOf(members, name);
  if (value !== undefined && typeof value !== 'string') throw fieldInvalid(name, 'must be text');
  return value;
}

function extensionsOf(members: Members): [string, string][] {
  return Object.keys(members).flatMap((name) => {
    const value = memberOf(members, name);
    return ownAttributes.has(name) || value === undefined ? [] : [[name, canonical(name, value)]];
  });
}

/** Attributes are of simple types, each of which has one form as text. */
function canonical(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number' && Number.isInteger(value) && Math.abs(value) <= 2_147_483_648) return String(value);
  throw fieldInvalid(JSON.stringify(name.slice(0, 64)), 'must be text, true, false or a whole number of 32 bits');
}

function dataOf(members: Members): Payload | undefined {
  const contentType = optionalText(members, 'datacontenttype');
  const encoded = memberOf(members, 'data_base64');
  const hasData = Object.hasOwn(members, 'data');
  if (encoded !== undefined) {
    if (hasData) throw fieldInvalid('data', 'stands beside data_base64');
    if (typeof encoded !== 'string' || !base64.test(encoded)) throw fieldInvalid('data_base64', 'is not base64');
    return { data: Buffer.from(encoded, 'base64'), contentType: contentType ?? jsonContentType };
  }
  if (!hasData) return undefined;
  const { data } = members;
  if (contentType === undefined || isJson(contentType)) {
    return { data: textOf(data), contentType: contentType ?? jsonContentType };
  }
  if (typeof data !== 'string') throw fieldInvalid('data', `must be text, as datacontenttype is ${contentType}`);
  return { data: Buffer.from(data), contentType };
}

function textOf(data: unknown): Buffer {
  try {
    return Buffer.from(JSON.stringify(data));
  } catch {
    throw fieldInvalid('data', 'is nested too deeply');
  }
}
