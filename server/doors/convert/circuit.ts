import { create } from '@bufbuild/protobuf';
import {
  type CircuitBreaker as BreakerMessage,
  CircuitBreakerSchema,
  CircuitMode,
  type CircuitStatus,
  CircuitStatusSchema,
  CircuitState as StateProto,
} from '@dstc/contract/dstc/v1/circuit_pb';
import { type CircuitBreaker, type CircuitState, countsOf } from '../../domain/circuit.ts';
import { circuitBreakerDefault } from '../../domain/limits.ts';
import type { SetCircuit } from '../../engine/gates.ts';
import type { GateRow } from '../../store/gates.ts';
import { optionalMs, toDuration, toTimestamp } from './time.ts';

const toCircuitState = {
  CLOSED: StateProto.CLOSED,
  OPEN: StateProto.OPEN,
  HALF_OPEN: StateProto.HALF_OPEN,
  FORCED_OPEN: StateProto.FORCED_OPEN,
  FORCED_CLOSED: StateProto.FORCED_CLOSED,
} as const satisfies Record<CircuitState, StateProto>;

/** The contract's rules have seen that it is a mode. */
export const setCircuitOf = {
  [CircuitMode.UNSPECIFIED]: 'CLOSED',
  [CircuitMode.AUTOMATIC]: 'CLOSED',
  [CircuitMode.FORCED_OPEN]: 'FORCED_OPEN',
  [CircuitMode.FORCED_CLOSED]: 'FORCED_CLOSED',
} as const satisfies Record<CircuitMode, SetCircuit>;

/** A breaker with its defaults filled in. */
export function circuitBreakerOf(field: string, message: BreakerMessage): CircuitBreaker {
  return {
    failureRatio: message.failureRatio,
    attemptsMin: message.attemptsMin || circuitBreakerDefault.attemptsMin,
    windowMs: optionalMs(`${field}.window`, message.window) ?? circuitBreakerDefault.windowMs,
    openMs: optionalMs(`${field}.open_duration`, message.openDuration) ?? circuitBreakerDefault.openMs,
    probes: message.probes || circuitBreakerDefault.probes,
  };
}

export function toCircuitBreaker(breaker: CircuitBreaker): BreakerMessage {
  return create(CircuitBreakerSchema, {
    failureRatio: breaker.failureRatio,
    attemptsMin: breaker.attemptsMin,
    window: toDuration(breaker.windowMs),
    openDuration: toDuration(breaker.openMs),
    probes: breaker.probes,
  });
}

/** A type without a gate has had no trouble yet. */
export function toCircuitStatus(gate: GateRow | undefined, breaker: CircuitBreaker | null): CircuitStatus {
  if (gate === undefined) return create(CircuitStatusSchema, { state: StateProto.CLOSED });
  const { windowMs } = breaker ?? circuitBreakerDefault;
  const status = create(CircuitStatusSchema, {
    state: toCircuitState[gate.circuit],
    actor: gate.circuitBy ?? '',
    reason: gate.circuitReason ?? '',
    ...countsOf(gate.buckets, windowMs, gate.nowMs),
    probesRunning: gate.probes.length,
    probesSucceeded: gate.probesSucceeded,
  });
  if (gate.circuitTime !== null) status.time = toTimestamp(gate.circuitTime);
  if (gate.probeTime !== null) status.probeTime = toTimestamp(gate.probeTime);
  return status;
}
