import { parseAllDocuments } from 'yaml';
import { parseDurationMs } from './duration.ts';
import { UsageError } from './exit.ts';

/** What a field holds; `ignored` ones are set by the coordinator, so that what was read can be applied again. */
export type Kind = 'text' | 'number' | 'object' | 'texts' | 'ignored';
export type Fields = Readonly<Record<string, Kind>>;

/** Everything that a file of YAML or JSON defines: one, a list, or several documents. */
export function readDefinitions(name: string, text: string, what: string): readonly unknown[] {
  const all: unknown[] = [];
  for (const document of parseAllDocuments(text)) {
    const [error] = document.errors;
    if (error !== undefined) throw new UsageError(`${name}: ${error.message.split('\n')[0]}`);
    const value: unknown = document.toJS();
    all.push(...(Array.isArray(value) ? value : [value]));
  }
  if (all.length === 0) throw new UsageError(`${name} is empty: there is no ${what} in it`);
  return all;
}

export function part(file: string, path: string, value: unknown, fields: Fields): Record<string, unknown> {
  return checked(file, path, withDurations(file, path, mapping(file, path, value)), fields);
}

/** The fields that are set, each of the right kind; a field that nobody knows is more likely misspelt than meant. */
export function checked(
  file: string,
  path: string,
  value: Record<string, unknown>,
  fields: Fields,
): Record<string, unknown> {
  const known: Record<string, unknown> = {};
  for (const [field, content] of Object.entries(value)) {
    const kind = Object.hasOwn(fields, field) ? fields[field] : undefined;
    if (kind === undefined) {
      const names = Object.keys(fields).filter((name) => fields[name] !== 'ignored');
      throw new UsageError(`${file}: ${path}.${field}: there is no such field; there are ${names.join(', ')}`);
    }
    if (kind === 'ignored' || content === null || content === undefined) continue;
    if (!isKind(kind, content)) throw new UsageError(`${file}: ${path}.${field}: ${wanted[kind]}`);
    known[field] = content;
  }
  return known;
}

const wanted: Record<Exclude<Kind, 'ignored'>, string> = {
  text: 'must be text',
  number: 'must be a number',
  object: 'must be a mapping',
  texts: 'must be a list of texts',
};

function isKind(kind: Exclude<Kind, 'ignored'>, value: unknown): boolean {
  switch (kind) {
    case 'text':
      return typeof value === 'string';
    case 'number':
      return typeof value === 'number';
    case 'object':
      return isMapping(value);
    case 'texts':
      return Array.isArray(value) && value.every((item) => typeof item === 'string');
  }
}

const durationFields: ReadonlySet<string> = new Set([
  ...['initialDelay', 'delayMax', 'retention', 'interval', 'delay'],
  ...['start', 'delivery', 'heartbeat', 'run', 'total'],
  ...['window', 'open'],
]);

export function withDurations(file: string, path: string, value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).map(([field, content]) => {
      if (!durationFields.has(field)) return [field, content];
      try {
        return [`${field}Ms`, parseDurationMs(String(content))];
      } catch (error) {
        throw new UsageError(`${file}: ${path === '' ? '' : `${path}.`}${field}: ${(error as Error).message}`);
      }
    }),
  );
}

export function mapping(file: string, what: string, value: unknown): Record<string, unknown> {
  if (!isMapping(value)) throw new UsageError(`${file}: ${what} must be a mapping of names to values`);
  return value;
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
