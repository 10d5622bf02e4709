import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv, type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';

const file = fileURLToPath(new URL('../../docs/asyncapi.yaml', import.meta.url));

/** What of the document tests look at. */
export interface AsyncApiDocument {
  readonly channels: Readonly<Record<string, Channel>>;
  readonly operations: Readonly<Record<string, { readonly channel: { readonly $ref: string } }>>;
  readonly components: {
    readonly messages: Readonly<Record<string, Message>>;
    readonly schemas: Readonly<Record<string, object>>;
  };
}

interface Channel {
  readonly address: string;
  readonly parameters: Readonly<Record<string, object>>;
}

interface Message {
  readonly name: string;
  readonly description?: string;
  readonly payload: { readonly $ref: string };
  readonly headers: object;
  readonly examples: readonly { readonly headers: Readonly<Record<string, string>>; readonly payload: unknown }[];
}

export const document: AsyncApiDocument = parse(readFileSync(file, 'utf8'));

/** The document as a set of schemas; in the closed one an object has no members but those that its schema names. */
const [open, closed] = [document, close(document)].map((schema) => {
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats.default(ajv);
  return ajv.addSchema(schema as object, 'document');
});

/** A check of what stands at a JSON pointer of the document. */
export function checkOf(pointer: string, { isClosed = false } = {}): ValidateFunction {
  const check = (isClosed ? closed : open)?.getSchema(`document${pointer}`);
  if (check === undefined) throw new Error(`there is no ${pointer}`);
  return check;
}

/** What of a value does not satisfy a check, in words. */
export function errorsOf(check: ValidateFunction, value: unknown): string[] {
  return check(value) ? [] : (check.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
}

/** Schemas of data name all that they know; what they do not know would go unchecked. Not for those that look at a part. */
function close(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(close);
  if (typeof value !== 'object' || value === null) return value;
  const parts = Object.fromEntries(Object.entries(value).map(([name, part]) => [name, close(part)]));
  const isObject = parts.type === 'object' && 'properties' in parts && !('allOf' in parts);
  return isObject ? { additionalProperties: false, ...parts } : parts;
}
