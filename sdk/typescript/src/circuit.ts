import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, durationMs } from '@bufbuild/protobuf/wkt';
import {
  type CircuitBreaker,
  type CircuitBreakerSchema,
  CircuitState as ContractState,
  type CircuitStatus as ContractStatus,
} from '@dstc/contract/dstc/v1/circuit_pb';
import { dateOf } from './task.ts';

/**
 * When a type stops being leased by itself; what is left out has the coordinator's default. A fatal failure opens the
 * circuit of any type.
 */
export interface CircuitBreakerOptions {
  /** The share of failed attempts that opens the circuit, up to 1; left out or 0, only a fatal failure does. */
  readonly failureRatio?: number | undefined;
  /** With fewer attempts in the window no share opens it. */
  readonly attemptsMin?: number | undefined;
  readonly windowMs?: number | undefined;
  /** How long nothing is leased once it has opened. */
  readonly openMs?: number | undefined;
  /** Attempts at a time that find out whether it works again. */
  readonly probes?: number | undefined;
}

/** Whether the tasks of a type are leased. */
export type CircuitState = keyof typeof ContractState;

/** Who decides: the breaker, or whoever forces the circuit. */
export type CircuitMode = 'AUTOMATIC' | 'FORCED_OPEN' | 'FORCED_CLOSED';

/** How a circuit stands, and since when and why. */
export interface CircuitStatus {
  readonly state: CircuitState;
  /** When it came to be so; undefined when it has always been. */
  readonly time: Date | undefined;
  readonly actor: string;
  readonly reason: string;
  /** Of an open circuit: when the first probe may be leased. */
  readonly probeTime: Date | undefined;
  /** Of a closed circuit with a ratio: attempts that ended within the window, and those of them that failed. */
  readonly attempts: number;
  readonly failures: number;
  /** Of a half-open circuit. */
  readonly probesRunning: number;
  readonly probesSucceeded: number;
}

const circuitStates = {
  [ContractState.UNSPECIFIED]: 'UNSPECIFIED',
  [ContractState.CLOSED]: 'CLOSED',
  [ContractState.OPEN]: 'OPEN',
  [ContractState.HALF_OPEN]: 'HALF_OPEN',
  [ContractState.FORCED_OPEN]: 'FORCED_OPEN',
  [ContractState.FORCED_CLOSED]: 'FORCED_CLOSED',
} as const satisfies Record<ContractState, CircuitState>;

export function circuitBreakerInit(options: CircuitBreakerOptions): MessageInitShape<typeof CircuitBreakerSchema> {
  const { failureRatio = 0, attemptsMin = 0, windowMs, openMs, probes = 0 } = options;
  return {
    failureRatio,
    attemptsMin,
    probes,
    ...(windowMs !== undefined && { window: durationFromMs(windowMs) }),
    ...(openMs !== undefined && { openDuration: durationFromMs(openMs) }),
  };
}

export function circuitBreakerOptionsOf(breaker: CircuitBreaker): CircuitBreakerOptions {
  return {
    failureRatio: breaker.failureRatio,
    attemptsMin: breaker.attemptsMin,
    windowMs: breaker.window && durationMs(breaker.window),
    openMs: breaker.openDuration && durationMs(breaker.openDuration),
    probes: breaker.probes,
  };
}

/** A coordinator that says nothing of circuits has none that is open. */
export function circuitStatusOf(status: ContractStatus | undefined): CircuitStatus {
  return {
    state: circuitStates[status?.state ?? ContractState.CLOSED],
    time: dateOf(status?.time),
    actor: status?.actor ?? '',
    reason: status?.reason ?? '',
    probeTime: dateOf(status?.probeTime),
    attempts: status?.attempts ?? 0,
    failures: status?.failures ?? 0,
    probesRunning: status?.probesRunning ?? 0,
    probesSucceeded: status?.probesSucceeded ?? 0,
  };
}
