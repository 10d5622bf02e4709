import type { LimitOptions, TaskTypeDefinition } from '@dstc/sdk';
import { parseAllDocuments } from 'yaml';
import { parseDurationMs } from './duration.ts';
import { UsageError } from './exit.ts';

/**
 * Reads task types from YAML or JSON: one, a list, or several documents. A duration is written as milliseconds
 * (`initialDelayMs: 500`) or with its unit (`initialDelay: 500ms`). What `dstc type get -o json` prints can be read back.
 */
export function parseTypeFile(name: string, text: string): readonly TaskTypeDefinition[] {
  const types: TaskTypeDefinition[] = [];
  for (const document of parseAllDocuments(text)) {
    const [error] = document.errors;
    if (error !== undefined) throw new UsageError(`${name}: ${error.message.split('\n')[0]}`);
    const value: unknown = document.toJS();
    for (const one of Array.isArray(value) ? value : [value]) types.push(typeOf(name, one));
  }
  if (types.length === 0) throw new UsageError(`${name} is empty: there is no task type in it`);
  return types;
}

function typeOf(file: string, value: unknown): TaskTypeDefinition {
  const fields = withDurations(file, '', mapping(file, 'a task type', value));
  const name = fields.name;
  if (typeof name !== 'string' || name === '') throw new UsageError(`${file}: name: every task type needs one`);
  const known = checked(file, name, fields, typeFields);
  return {
    ...known,
    name,
    ...('retry' in known && { retry: part(file, `${name}.retry`, known.retry, retryFields) }),
    ...('deadlines' in known && { deadlines: part(file, `${name}.deadlines`, known.deadlines, deadlineFields) }),
    ...('circuitBreaker' in known && {
      circuitBreaker: part(file, `${name}.circuitBreaker`, known.circuitBreaker, breakerFields),
    }),
    ...('limits' in known && { limits: limitsOf(file, `${name}.limits`, known.limits) }),
  };
}

function limitsOf(file: string, path: string, value: unknown): LimitOptions {
  const known = part(file, path, value, limitFields);
  const rate = (field: 'rate' | 'ratePerKey') => {
    if (!(field in known)) return undefined;
    const { tasks, ...rest } = part(file, `${path}.${field}`, known[field], rateFields);
    if (typeof tasks !== 'number') throw new UsageError(`${file}: ${path}.${field}.tasks: every rate needs it`);
    return { tasks, ...rest };
  };
  return {
    ...known,
    ...('key' in known && { key: part(file, `${path}.key`, known.key, keyFields) }),
    ...('rate' in known && { rate: rate('rate') }),
    ...('ratePerKey' in known && { ratePerKey: rate('ratePerKey') }),
  };
}

type Kind = 'text' | 'number' | 'object' | 'texts' | 'ignored';
type Fields = Readonly<Record<string, Kind>>;

const typeFields: Fields = {
  name: 'text',
  description: 'text',
  inputSchema: 'object',
  outputSchema: 'object',
  retry: 'object',
  deadlines: 'object',
  limits: 'object',
  priority: 'number',
  retentionMs: 'number',
  circuitBreaker: 'object',
  etag: 'text',
  // The coordinator sets these; a type that was read brings them.
  namespace: 'ignored',
  createTime: 'ignored',
  updateTime: 'ignored',
  status: 'ignored',
};
const retryFields: Fields = {
  attemptsMax: 'number',
  initialDelayMs: 'number',
  multiplier: 'number',
  delayMaxMs: 'number',
  nonRetryableCodes: 'texts',
};
const breakerFields: Fields = {
  failureRatio: 'number',
  attemptsMin: 'number',
  windowMs: 'number',
  openMs: 'number',
  probes: 'number',
};
const limitFields: Fields = {
  key: 'object',
  concurrencyMax: 'number',
  concurrencyPerKeyMax: 'number',
  rate: 'object',
  ratePerKey: 'object',
  queueMax: 'number',
};
const keyFields: Fields = { label: 'text', inputPointer: 'text' };
const rateFields: Fields = { tasks: 'number', intervalMs: 'number', burst: 'number' };
const deadlineFields: Fields = {
  startMs: 'number',
  deliveryMs: 'number',
  heartbeatMs: 'number',
  runMs: 'number',
  totalMs: 'number',
};

function part(file: string, path: string, value: unknown, fields: Fields): Record<string, unknown> {
  return checked(file, path, withDurations(file, path, mapping(file, path, value)), fields);
}

/** The fields that are set, each of the right kind; a field that nobody knows is more likely misspelt than meant. */
function checked(file: string, path: string, value: Record<string, unknown>, fields: Fields): Record<string, unknown> {
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
  ...['initialDelay', 'delayMax', 'retention', 'interval'],
  ...['start', 'delivery', 'heartbeat', 'run', 'total'],
  ...['window', 'open'],
]);

function withDurations(file: string, path: string, value: Record<string, unknown>): Record<string, unknown> {
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

function mapping(file: string, what: string, value: unknown): Record<string, unknown> {
  if (!isMapping(value)) throw new UsageError(`${file}: ${what} must be a mapping of names to values`);
  return value;
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
