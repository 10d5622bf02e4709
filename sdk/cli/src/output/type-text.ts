import type {
  CircuitBreakerOptions,
  CircuitState,
  CircuitStatus,
  LimitOptions,
  RateOptions,
  TaskType,
} from '@dstc/sdk';
import { formatDurationMs } from '../duration.ts';
import { pauseText } from './pause-text.ts';
import type { Painted } from './shown.ts';
import { formatFields, formatTable } from './table.ts';
import { ageText } from './task-text.ts';

/** Task types, one a line. */
export function typesText(types: readonly TaskType[]): Painted {
  const now = new Date();
  return formatTable(
    [
      { title: 'name', value: (type: TaskType) => type.name },
      { title: 'status', value: statusText },
      { title: 'changed', value: (type: TaskType) => `${ageText(type.updateTime, now)} ago` },
      { title: 'etag', value: (type: TaskType) => type.etag },
      { title: 'description', value: (type: TaskType) => type.description },
    ],
    types,
  );
}

/** One task type with everything that is known of it. */
export function typeText(type: TaskType): Painted {
  const { retry = {}, deadlines = {} } = type;
  const duration = (ms: number | undefined) => (ms === undefined ? undefined : formatDurationMs(ms));
  return formatFields([
    ['name', type.name],
    ['description', type.description === '' ? undefined : type.description],
    ['paused', pauseText(type.status.pause)],
    ['namespace paused', pauseText(type.status.namespacePause)],
    ['circuit', circuitText(type.status.circuit)],
    ['waiting', counted(type.status.waiting)],
    ['running', counted(type.status.running)],
    ['priority', type.priority === undefined ? undefined : String(type.priority)],
    ['attempts', retry.attemptsMax === undefined ? undefined : String(retry.attemptsMax)],
    ['first wait', duration(retry.initialDelayMs)],
    ['longest wait', duration(retry.delayMaxMs)],
    ['never retried', retry.nonRetryableCodes?.length ? retry.nonRetryableCodes.join(' ') : undefined],
    ['start within', duration(deadlines.startMs)],
    ['accepted within', duration(deadlines.deliveryMs)],
    ['progress within', duration(deadlines.heartbeatMs)],
    ['run within', duration(deadlines.runMs)],
    ['end within', duration(deadlines.totalMs)],
    ...limitLines(type.limits),
    ['kept for', duration(type.retentionMs)],
    ['circuit opens', breakerText(type.circuitBreaker)],
    ['etag', type.etag],
    ['created', type.createTime?.toISOString()],
    ['changed', type.updateTime?.toISOString()],
    ['input schema', type.inputSchema && JSON.stringify(type.inputSchema)],
    ['output schema', type.outputSchema && JSON.stringify(type.outputSchema)],
  ]);
}

function limitLines({ key, ...limits }: LimitOptions = {}): [string, string | undefined][] {
  const number = (value: number | undefined) => (value === undefined ? undefined : String(value));
  return [
    ['turns by', key && (key.label === undefined ? `input ${key.inputPointer}` : `label ${key.label}`)],
    ['run at once', number(limits.concurrencyMax)],
    ['run at once per key', number(limits.concurrencyPerKeyMax)],
    ['rate', rateText(limits.rate)],
    ['rate per key', rateText(limits.ratePerKey)],
    ['may wait', number(limits.queueMax)],
  ];
}

function rateText(rate: RateOptions | undefined): string | undefined {
  if (rate === undefined) return undefined;
  const { tasks, intervalMs = 1_000, burst = tasks } = rate;
  return `${tasks} in ${formatDurationMs(intervalMs)}, ${burst} at once`;
}

/** The coordinator counts this far. */
const countMax = 10_000;

function counted(count: number): string {
  return count >= countMax ? `${countMax} or more` : String(count);
}

/** What keeps its tasks from being leased, as one word. */
function statusText({ status }: TaskType): string {
  const holds = [
    status.pause && 'paused',
    status.namespacePause && 'namespace-paused',
    holdingStates.has(status.circuit.state) ? `circuit-${wordOf(status.circuit.state)}` : undefined,
  ];
  return holds.filter((hold) => hold !== undefined).join(',') || 'active';
}

const holdingStates: ReadonlySet<CircuitState> = new Set<CircuitState>(['OPEN', 'HALF_OPEN', 'FORCED_OPEN']);

function wordOf(state: CircuitState): string {
  return state.toLowerCase().replace('_', '-');
}

/** `open since … by …: why; probes from …`; undefined for a circuit that has always been closed. */
function circuitText(circuit: CircuitStatus): string | undefined {
  const { state, time, actor, reason, probeTime, attempts, failures, probesRunning, probesSucceeded } = circuit;
  if (time === undefined && attempts === 0) return undefined;
  const parts = [
    `${wordOf(state)} ${pauseText({ time, actor, reason }) ?? ''}`,
    probeTime && `probes from ${probeTime.toISOString()}`,
    state === 'HALF_OPEN' ? `${probesRunning} probes run, ${probesSucceeded} succeeded` : undefined,
    attempts > 0 ? `${failures} of ${attempts} attempts failed lately` : undefined,
  ];
  return parts.filter((part) => part !== undefined).join('; ');
}

function breakerText(breaker: CircuitBreakerOptions | undefined): string | undefined {
  if (!breaker?.failureRatio) return undefined;
  const { failureRatio, attemptsMin, windowMs = 0, openMs = 0 } = breaker;
  const share = `${Math.round(failureRatio * 100)}% of at least ${attemptsMin} attempts`;
  return `when ${share} fail within ${formatDurationMs(windowMs)}, for ${formatDurationMs(openMs)}`;
}
