import { DstcError, type FieldViolation } from './errors.ts';
import type { Payload } from './payload.ts';

/** An event from outside (CloudEvents 1.0); attributes that are undefined are unset. */
export interface CloudEvent {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string | undefined;
  /** As its sender wrote it. */
  readonly time: string | undefined;
  readonly dataSchema: string | undefined;
  readonly extensions: Readonly<Record<string, string>>;
  /** Its content type is the attribute `datacontenttype`. */
  readonly data: Payload | undefined;
}

/** Attributes that are no extensions; of the data, what forms of an event call it. */
export const ownAttributes: ReadonlySet<string> = new Set([
  ...['specversion', 'id', 'source', 'type', 'subject', 'time', 'dataschema', 'datacontenttype', 'data', 'data_base64'],
]);

const extensionsMax = 64;
const namePattern = /^[a-z0-9]{1,64}$/;
const contentTypePattern =
  /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*(; ?[A-Za-z0-9_-]+=("[A-Za-z0-9_. -]*"|[A-Za-z0-9_.-]+))*$/;
const contentTypeCharactersMax = 127;
// What CloudEvents keeps out of texts: controls and what Unicode will never give a meaning.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const forbidden = /[\u0000-\u001f\u007f-\u009f\p{Noncharacter_Code_Point}]/u;
const uriReference = /^([A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+$/;
const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:/;

/** Throws FIELD_INVALID with everything in which an event breaks the rules of CloudEvents, or our bounds. */
export function checkCloudEvent(event: CloudEvent): void {
  const violations = [
    ...textViolations('id', event.id, 1_024),
    ...uriViolations('source', event.source),
    ...textViolations('type', event.type, 1_024),
    ...(event.subject === undefined ? [] : textViolations('subject', event.subject, 2_048)),
    ...(event.time === undefined || isTime(event.time) ? [] : violation('time', 'is no time as in RFC 3339')),
    ...(event.dataSchema === undefined ? [] : uriViolations('dataschema', event.dataSchema, scheme)),
    ...(event.data === undefined ? [] : contentTypeViolations(event.data.contentType)),
    ...extensionViolations(event.extensions),
  ];
  if (violations.length === 0) return;
  const named = violations.slice(0, 3).map(({ field, description }) => `${field}: ${description}`);
  throw new DstcError('FIELD_INVALID', named.join('; '), { violations });
}

function extensionViolations(extensions: Readonly<Record<string, string>>): readonly FieldViolation[] {
  const all = Object.entries(extensions);
  if (all.length > extensionsMax) return violation('extensions', `are more than ${extensionsMax}`);
  return all.flatMap(([name, value]) => {
    if (!namePattern.test(name)) {
      return violation(clipped(name), 'is no name of an attribute: 1 to 64 lower-case letters and digits');
    }
    if (ownAttributes.has(name)) return violation(name, 'is no extension');
    return textViolations(name, value, 2_048);
  });
}

function textViolations(field: string, value: string, charactersMax: number): readonly FieldViolation[] {
  if (value === '') return violation(field, 'is required, and not empty');
  if (value.length > charactersMax) return violation(field, `is longer than ${charactersMax} characters`);
  if (!value.isWellFormed() || forbidden.test(value)) return violation(field, 'has a character that is no text');
  return [];
}

function uriViolations(field: string, value: string, beginning?: RegExp): readonly FieldViolation[] {
  const violations = textViolations(field, value, 2_048);
  if (violations.length > 0) return violations;
  if (!uriReference.test(value)) return violation(field, 'is no URI reference (RFC 3986)');
  if (beginning !== undefined && !beginning.test(value)) return violation(field, 'is no absolute URI');
  return [];
}

function contentTypeViolations(contentType: string): readonly FieldViolation[] {
  if (contentType.length <= contentTypeCharactersMax && contentTypePattern.test(contentType)) return [];
  return violation('datacontenttype', 'is no media type');
}

function isTime(text: string): boolean {
  const match =
    /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/.exec(text);
  if (match === null) return false;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  // Years before 100 would be taken for those of the last century.
  const date = new Date(Date.UTC(2000 + (year % 400), month - 1, day));
  const isDay = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  // A leap second is one, too.
  return isDay && hour < 24 && minute < 60 && second <= 60;
}

function violation(field: string, description: string): readonly FieldViolation[] {
  return [{ field, description }];
}

function clipped(name: string): string {
  return JSON.stringify(name.slice(0, 64));
}
