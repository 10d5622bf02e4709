import type { LimitOptions, TaskTypeDefinition } from '@dstc/sdk';
import { checked, type Fields, mapping, part, readDefinitions, withDurations } from './definition-file.ts';
import { UsageError } from './exit.ts';

/**
 * Reads task types from YAML or JSON: one, a list, or several documents. A duration is written as milliseconds
 * (`initialDelayMs: 500`) or with its unit (`initialDelay: 500ms`). What `dstc type get -o json` prints can be read back.
 */
export function parseTypeFile(name: string, text: string): readonly TaskTypeDefinition[] {
  return readDefinitions(name, text, 'task type').map((value) => typeOf(name, value));
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
