import type { EventKind } from './lifecycle.ts';

/** When a type stops being leased by itself; `dstc.v1.CircuitBreaker` with its defaults filled in. */
export interface CircuitBreaker {
  /** The share of failed attempts that opens the circuit; 0 when only a fatal failure does. */
  readonly failureRatio: number;
  readonly attemptsMin: number;
  readonly windowMs: number;
  readonly openMs: number;
  readonly probes: number;
}

export const circuitStates = ['CLOSED', 'OPEN', 'HALF_OPEN', 'FORCED_OPEN', 'FORCED_CLOSED'] as const;
export type CircuitState = (typeof circuitStates)[number];

/** Attempts that ended within a tenth of the window. */
export interface Bucket {
  /** When it was begun, by the database's clock. */
  readonly atMs: number;
  readonly attempts: number;
  readonly failures: number;
}

/** An attempt that tries whether the type works again. */
export interface Probe {
  readonly taskId: string;
  readonly attempt: number;
  readonly leaseId: string;
}

/** What decisions need to know of a circuit. */
export interface Circuit {
  readonly state: CircuitState;
  /** Of a closed one: what ended lately, oldest first. */
  readonly buckets: readonly Bucket[];
  /** How often it has opened since it was closed. */
  readonly openings: number;
  /** Of a half-open one: probes whose end is not known yet. */
  readonly probes: readonly Probe[];
  readonly probesSucceeded: number;
}

/** A circuit after a decision. */
export interface NextCircuit extends Circuit {
  /** Why the state has changed; null when it has not. */
  readonly reason: string | null;
  /** Of one that opens: how long it is until a probe; else null. */
  readonly openMs: number | null;
}

/** What the end of an attempt says of its type. */
export type Verdict = 'passed' | 'failed' | 'fatal';

/** Ends of attempts of one type, counted. */
export interface Ends {
  readonly passed: number;
  readonly failed: number;
  /** The code of a fatal failure; null without one. */
  readonly fatalCode: string | null;
}

/** How an attempt ended. */
export interface AttemptEnd {
  readonly event: EventKind;
  /** Null after a success. */
  readonly error: { readonly code: string; readonly kind: 'TRANSIENT' | 'PERMANENT' | 'FATAL' } | null;
  readonly nonRetryableCodes: readonly string[];
}

/** What a wrong input makes of an attempt says nothing of the type; undefined for ends that say nothing at all. */
export function verdictOf({ event, error, nonRetryableCodes }: AttemptEnd): Verdict | undefined {
  if (event === 'succeeded') return 'passed';
  if (error === null || !failingEvents.has(event) || untold.has(error.code)) return undefined;
  if (error.kind === 'FATAL') return 'fatal';
  if (error.code === 'OUTPUT_INVALID') return 'failed';
  return error.kind === 'PERMANENT' || nonRetryableCodes.includes(error.code) ? 'passed' : 'failed';
}

const failingEvents: ReadonlySet<EventKind> = new Set<EventKind>(['retry_scheduled', 'failed', 'lease_lost']);

/** The time was used up before, or the attempt had none. */
const untold: ReadonlySet<string> = new Set(['START_DEADLINE_EXCEEDED', 'TOTAL_DEADLINE_EXCEEDED']);

/** The circuit after attempts have ended; undefined when that changes nothing, not even what is counted. */
export function afterEnds(
  circuit: Circuit,
  breaker: CircuitBreaker,
  ends: Ends,
  nowMs: number,
): NextCircuit | undefined {
  switch (circuit.state) {
    case 'FORCED_OPEN':
    case 'FORCED_CLOSED':
    case 'OPEN':
      return undefined;
    case 'HALF_OPEN':
      // Other attempts than the probes began before it opened; but a fatal failure is news whoever brings it.
      return ends.fatalCode === null ? undefined : opened(circuit, breaker, fatalReason(ends.fatalCode));
    case 'CLOSED':
      return afterEndsWhileClosed(circuit, breaker, ends, nowMs);
  }
}

function afterEndsWhileClosed(circuit: Circuit, breaker: CircuitBreaker, ends: Ends, nowMs: number): NextCircuit {
  if (ends.fatalCode !== null) return opened(circuit, breaker, fatalReason(ends.fatalCode));
  const buckets = counted(circuit.buckets, breaker, ends, nowMs);
  const { attempts, failures } = sumOf(buckets);
  const isBad =
    breaker.failureRatio > 0 && attempts >= breaker.attemptsMin && failures >= breaker.failureRatio * attempts;
  if (!isBad) return { ...circuit, buckets, reason: null, openMs: null };
  return opened(circuit, breaker, `${failures} of ${attempts} attempts failed within ${breaker.windowMs / 1_000} s`);
}

/** The circuit after some of its probes have ended, or were given up without a verdict. */
export function afterProbes(
  circuit: Circuit,
  breaker: CircuitBreaker,
  ended: readonly { readonly probe: Probe; readonly verdict: Verdict | undefined }[],
): NextCircuit {
  const bad = ended.find(({ verdict }) => verdict === 'failed' || verdict === 'fatal');
  if (bad !== undefined) return opened(circuit, breaker, `the probe ${bad.probe.taskId} failed`);
  const probesSucceeded = circuit.probesSucceeded + ended.filter(({ verdict }) => verdict === 'passed').length;
  if (probesSucceeded >= breaker.probes) {
    const reason = `${probesSucceeded} of ${breaker.probes} probes succeeded`;
    return { ...closedCircuit, reason, openMs: null };
  }
  const gone = new Set(ended.map(({ probe }) => probe.leaseId));
  const probes = circuit.probes.filter(({ leaseId }) => !gone.has(leaseId));
  return { ...circuit, probes, probesSucceeded, reason: null, openMs: null };
}

const closedCircuit: Circuit = { state: 'CLOSED', buckets: [], openings: 0, probes: [], probesSucceeded: 0 };

/** A longer outage is tried less often: each probe costs a task an attempt. */
const openFactorMax = 16;

function opened(circuit: Circuit, { openMs }: CircuitBreaker, reason: string): NextCircuit {
  const openings = circuit.openings + 1;
  const factor = Math.min(2 ** (openings - 1), openFactorMax);
  return { ...closedCircuit, state: 'OPEN', openings, reason, openMs: openMs * factor };
}

function fatalReason(code: string): string {
  return `an attempt failed fatally with ${code}`;
}

const bucketsInWindow = 10;

/** The buckets with more in them, and without those that the window has left behind. */
function counted(buckets: readonly Bucket[], { windowMs }: CircuitBreaker, ends: Ends, nowMs: number): Bucket[] {
  const kept = buckets.filter(({ atMs }) => atMs > nowMs - windowMs);
  const last = kept.at(-1);
  const isCurrent = last !== undefined && last.atMs > nowMs - windowMs / bucketsInWindow;
  const bucket = isCurrent ? last : { atMs: nowMs, attempts: 0, failures: 0 };
  const attempts = bucket.attempts + ends.passed + ends.failed;
  const failures = bucket.failures + ends.failed;
  return [...(isCurrent ? kept.slice(0, -1) : kept), { atMs: bucket.atMs, attempts, failures }];
}

/** What ended within the window. */
export function countsOf(buckets: readonly Bucket[], windowMs: number, nowMs: number) {
  return sumOf(buckets.filter(({ atMs }) => atMs > nowMs - windowMs));
}

function sumOf(buckets: readonly Bucket[]): { readonly attempts: number; readonly failures: number } {
  return {
    attempts: buckets.reduce((sum, bucket) => sum + bucket.attempts, 0),
    failures: buckets.reduce((sum, bucket) => sum + bucket.failures, 0),
  };
}
