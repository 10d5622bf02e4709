import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { isJson, type Payload } from '../domain/payload.ts';
import type { LimitKeySource } from '../domain/type-limits.ts';

/** As long as a label's value may be, so that every label is its own key. */
const charactersMax = 256;

/**
 * Whose turns and limits a task counts for. Never refuses a task: what is missing is the empty key, and what is no short
 * text is known by its hash, so that a producer cannot leave its key by sending an odd one.
 */
export function limitKeyOf(
  source: LimitKeySource | null | undefined,
  task: { readonly labels: Readonly<Record<string, string>>; readonly input: Payload },
): string {
  if (source === null || source === undefined) return '';
  switch (source.kind) {
    case 'label':
      return Object.hasOwn(task.labels, source.label) ? textOf(task.labels[source.label]) : '';
    case 'input':
      return textOf(valueAt(source.pointer, jsonOf(task.input)));
  }
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  const text = typeof value === 'object' ? undefined : String(value);
  // Postgres has no text with NUL or half a character in it.
  if (text !== undefined && text.length <= charactersMax && !text.includes('\0') && text.isWellFormed()) return text;
  return `sha256:${createHash('sha256')
    .update(text ?? canonicalize(value) ?? '')
    .digest('base64url')}`;
}

function jsonOf(input: Payload): unknown {
  if (!isJson(input.contentType)) return undefined;
  try {
    return JSON.parse(Buffer.from(input.data.buffer, input.data.byteOffset, input.data.byteLength).toString());
  } catch {
    // Said to be JSON and is not: it has nothing at any place, and only a schema would refuse it.
    return undefined;
  }
}

/** What a JSON Pointer finds; undefined when there is nothing. */
function valueAt(pointer: string, document: unknown): unknown {
  let value = document;
  for (const token of pointer.split('/').slice(1)) {
    const name = token.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof value !== 'object' || value === null) return undefined;
    if (Array.isArray(value) && !/^(0|[1-9]\d*)$/.test(name)) return undefined;
    if (!Object.hasOwn(value, name)) return undefined;
    value = (value as Readonly<Record<string, unknown>>)[name];
  }
  return value;
}
