import type { CloudEvent } from '../../domain/cloud-event.ts';
import { ownAttributes } from '../../domain/cloud-event.ts';
import { DstcError, fieldInvalid } from '../../domain/errors.ts';

/** Headers as Node reads them, each with all of its values. */
export type DistinctHeaders = Readonly<Record<string, readonly string[] | undefined>>;

const prefix = 'ce-';
const decoder = new TextDecoder('utf-8', { fatal: true });
/** Of data whose sender has not said what it is. */
const unknownContentType = 'application/octet-stream';

/** An event of binary mode: attributes are headers, and the body is the data as it is. Throws FIELD_INVALID. */
export function cloudEventOfHeaders(headers: DistinctHeaders, body: Uint8Array): CloudEvent {
  const attributes = new Map<string, string>();
  for (const [header, values = []] of Object.entries(headers)) {
    if (!header.startsWith(prefix)) continue;
    const [value, ...others] = values;
    if (value === undefined || others.length > 0) throw fieldInvalid(header, 'stands more than once');
    attributes.set(header.slice(prefix.length), decoded(header, value));
  }
  const version = attributes.get('specversion');
  if (version === undefined) {
    throw new DstcError(
      'FIELD_INVALID',
      'this is no CloudEvent: it has neither the headers ce-specversion, ce-id, ce-source and ce-type nor the content type application/cloudevents+json',
      { violations: [{ field: 'ce-specversion', description: 'is required' }] },
    );
  }
  if (version !== '1.0') throw fieldInvalid('ce-specversion', 'must be 1.0');
  for (const name of ['datacontenttype', 'data', 'data_base64']) {
    if (attributes.has(name)) throw fieldInvalid(`ce-${name}`, 'is no header: there are content-type and the body');
  }
  const contentType = headers['content-type']?.[0] ?? unknownContentType;
  return {
    id: attributes.get('id') ?? '',
    source: attributes.get('source') ?? '',
    type: attributes.get('type') ?? '',
    subject: attributes.get('subject'),
    time: attributes.get('time'),
    dataSchema: attributes.get('dataschema'),
    extensions: Object.fromEntries([...attributes].filter(([name]) => !ownAttributes.has(name))),
    data: body.byteLength === 0 ? undefined : { data: body, contentType },
  };
}

/** Quotes of older senders are taken away, and then percent signs are decoded, once. */
function decoded(header: string, value: string): string {
  const quoted = /^"((?:[^"\\]|\\.)*)"$/.exec(value);
  const text = quoted?.[1] === undefined ? value : quoted[1].replace(/\\(.)/g, '$1');
  if (!/^[\x20-\x7e]*$/.test(text)) throw fieldInvalid(header, 'has a character that must be percent-encoded');
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) throw fieldInvalid(header, 'has a percent sign that must be percent-encoded');
  try {
    return decoder.decode(
      Buffer.from(
        text.replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16))),
        'latin1',
      ),
    );
  } catch {
    throw fieldInvalid(header, 'is not UTF-8 when it is decoded');
  }
}
