import type { BinaryPayload, CloudEvent } from '@dstc/sdk';
import { UsageError } from './exit.ts';

/** Reads events in the JSON format of CloudEvents: one, a list, or one a line. */
export function parseEventFile(name: string, text: string): readonly CloudEvent[] {
  const whole = parsed(text);
  const values = whole === undefined ? linesOf(name, text) : Array.isArray(whole.json) ? whole.json : [whole.json];
  if (values.length === 0) throw new UsageError(`${name} is empty: there is no event in it`);
  return values.map((value, index) => eventOf(`${name}, event ${index + 1}`, value));
}

function parsed(text: string): { readonly json: unknown } | undefined {
  try {
    return { json: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

function linesOf(name: string, text: string): unknown[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    if (line.trim() === '') return [];
    const value = parsed(line);
    if (value === undefined) throw new UsageError(`${name}, line ${index + 1} is not JSON`);
    return [value.json];
  });
}

const attributes = ['id', 'source', 'type', 'subject', 'time', 'dataschema', 'datacontenttype'] as const;
const others: ReadonlySet<string> = new Set([...attributes, 'specversion', 'data', 'data_base64']);

function eventOf(where: string, value: unknown): CloudEvent {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UsageError(`${where}: an event is a JSON object`);
  }
  const members: Readonly<Record<string, unknown>> = { ...value };
  if (members.specversion !== undefined && members.specversion !== '1.0') {
    throw new UsageError(`${where}: specversion must be 1.0`);
  }
  const text = (name: (typeof attributes)[number]): string | undefined => {
    const found = members[name] ?? undefined;
    if (found !== undefined && typeof found !== 'string') throw new UsageError(`${where}: ${name} must be text`);
    return found;
  };
  const required = (name: 'source' | 'type'): string => {
    const found = text(name);
    if (found === undefined) throw new UsageError(`${where}: ${name} is required`);
    return found;
  };
  const extensions = Object.entries(members).flatMap(([name, extension]) => {
    if (others.has(name) || extension === null) return [];
    if (typeof extension === 'object') throw new UsageError(`${where}: ${name} must be text`);
    return [[name, String(extension)] as const];
  });
  return {
    id: text('id'),
    source: required('source'),
    type: required('type'),
    subject: text('subject'),
    time: text('time'),
    dataSchema: text('dataschema'),
    extensions: Object.fromEntries(extensions),
    data: dataOf(where, members, text('datacontenttype')),
  };
}

function dataOf(where: string, members: Readonly<Record<string, unknown>>, contentType?: string): unknown {
  const { data, data_base64: encoded } = members;
  if (encoded !== undefined && encoded !== null) {
    if (typeof encoded !== 'string' || data !== undefined) {
      throw new UsageError(`${where}: data_base64 must be text, without data beside it`);
    }
    return binary(Buffer.from(encoded, 'base64'), contentType);
  }
  if (data === undefined || contentType === undefined) return data;
  if (/^application\/([^;]+\+)?json(;|$)/.test(contentType))
    return binary(Buffer.from(JSON.stringify(data)), contentType);
  if (typeof data !== 'string')
    throw new UsageError(`${where}: data must be text, as datacontenttype is ${contentType}`);
  return binary(Buffer.from(data), contentType);
}

function binary(data: Uint8Array, contentType = 'application/json'): BinaryPayload {
  return { data, contentType };
}
