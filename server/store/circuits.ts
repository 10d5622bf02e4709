import type { Circuit, CircuitBreaker, CircuitState, Ends, NextCircuit, Probe } from '../domain/circuit.ts';
import type { EventKind } from '../domain/lifecycle.ts';
import { circuitBreakerDefault } from '../domain/limits.ts';
import type { RetryPolicy } from '../domain/retry.ts';
import type { Sql } from './database.ts';
import type { GateKey } from './gates.ts';
import type { StoredError } from './schema.ts';

/** A circuit that is locked until the transaction ends. */
export interface LockedCircuit extends GateKey, Circuit {
  readonly breaker: CircuitBreaker;
  /** The database's clock. */
  readonly nowMs: number;
}

interface LockedRow {
  readonly namespace: string;
  readonly type: string;
  readonly circuit: CircuitState;
  readonly buckets: Circuit['buckets'];
  readonly openings: number;
  readonly probes: Circuit['probes'];
  readonly probes_succeeded: number;
  readonly circuit_breaker: CircuitBreaker | null;
  readonly now_ms: number;
}

const columns = (sql: Sql) => sql`
  gate.namespace, gate.type, gate.circuit, gate.buckets, gate.openings, gate.probes, gate.probes_succeeded,
  task_type.circuit_breaker, extract(epoch FROM now())::float8 * 1000 AS now_ms`;

/** Attempts of one type that ended. */
export type TypeEnds = GateKey & Ends;

/**
 * Locks the circuits of the types that these ends matter to, by primary key and in its order, and makes those that are
 * not there yet. Ends matter to types that count them, and fatal ones to all.
 */
export async function lockCircuitsOfEnds(sql: Sql, ends: readonly TypeEnds[]): Promise<LockedCircuit[]> {
  const rows = await sql<LockedRow[]>`
    WITH mattering AS (
      SELECT item.namespace, item.type
      FROM unnest(
        ${ends.map((e) => e.namespace)}::text[], ${ends.map((e) => e.type)}::text[],
        ${ends.map((e) => e.fatalCode)}::text[]
      ) AS item(namespace, type, fatal_code)
      JOIN task_type ON task_type.namespace = item.namespace AND task_type.name = item.type
      WHERE fatal_code IS NOT NULL OR (circuit_breaker->>'failureRatio')::float8 > 0
    ), gate AS (
      -- Writes nothing new into one that is there, but locks it.
      INSERT INTO task_gate AS gate (namespace, type)
      SELECT namespace, type FROM mattering ORDER BY namespace, type
      ON CONFLICT (namespace, type) DO UPDATE SET circuit = gate.circuit
      RETURNING *
    )
    SELECT ${columns(sql)}
    FROM gate JOIN task_type ON task_type.namespace = gate.namespace AND task_type.name = gate.type`;
  return rows.map(lockedCircuit);
}

/** Locks circuits that are half open, by index `task_gate_shut`; those that somebody else has locked are left to them. */
export async function lockHalfOpenCircuits(sql: Sql): Promise<LockedCircuit[]> {
  const rows = await sql<LockedRow[]>`
    SELECT ${columns(sql)}
    FROM task_gate AS gate JOIN task_type ON task_type.namespace = gate.namespace AND task_type.name = gate.type
    WHERE (paused_time IS NOT NULL OR circuit <> 'CLOSED') AND circuit = 'HALF_OPEN'
    FOR UPDATE OF gate SKIP LOCKED`;
  return rows.map(lockedCircuit);
}

/** The end of a probe; without an event nobody knows it any more. */
export interface ProbeEnd extends Pick<Probe, 'leaseId'> {
  readonly event: EventKind | null;
  readonly error: StoredError | null;
  readonly retryPolicy: RetryPolicy | null;
}

/** How probes ended, from the history; those that run are missing. By primary keys. */
export function selectProbeEnds(sql: Sql, probes: readonly Probe[]): Promise<ProbeEnd[]> {
  return sql<ProbeEnd[]>`
    SELECT item.lease_id AS "leaseId", ending.kind AS event, ending.error, task.retry_policy AS "retryPolicy"
    FROM unnest(
      ${probes.map((p) => p.taskId)}::uuid[], ${probes.map((p) => p.attempt)}::int[], ${probes.map((p) => p.leaseId)}::uuid[]
    ) AS item(id, attempt, lease_id)
    LEFT JOIN task ON task.id = item.id
    LEFT JOIN LATERAL (
      SELECT e.kind, e.error FROM task_event AS e
      WHERE e.task_id = task.id AND e.time >= task.create_time AND e.lease_id = item.lease_id
        AND e.kind IN ('succeeded', 'retry_scheduled', 'failed', 'lease_lost', 'released', 'cancelled')
      ORDER BY e.sequence LIMIT 1
    ) AS ending ON true
    WHERE task.id IS NULL OR task.state::text <> 'RUNNING' OR task.lease_id <> item.lease_id
      OR task.attempt <> item.attempt`;
}

/** What became of a locked circuit. */
export type CircuitChange = GateKey & NextCircuit;

/** Stores decisions on circuits that are locked in this transaction. */
export async function storeCircuits(sql: Sql, actor: string, changes: readonly CircuitChange[]): Promise<void> {
  if (changes.length === 0) return;
  await sql`
    UPDATE task_gate SET circuit = item.circuit, buckets = item.buckets, openings = item.openings,
      probes = item.probes, probes_succeeded = item.probes_succeeded,
      probe_time = now() + item.open_ms * interval '1 millisecond',
      circuit_time = CASE WHEN item.reason IS NULL THEN circuit_time ELSE now() END,
      circuit_by = CASE WHEN item.reason IS NULL THEN circuit_by ELSE ${actor} END,
      circuit_reason = COALESCE(item.reason, circuit_reason)
    FROM unnest(
      ${changes.map((c) => c.namespace)}::text[], ${changes.map((c) => c.type)}::text[],
      ${changes.map((c) => c.state)}::text[]::circuit_state[], ${changes.map((c) => JSON.stringify(c.buckets))}::jsonb[],
      ${changes.map((c) => c.openings)}::int[], ${changes.map((c) => JSON.stringify(c.probes))}::jsonb[],
      ${changes.map((c) => c.probesSucceeded)}::int[], ${changes.map((c) => c.openMs)}::float8[],
      ${changes.map((c) => c.reason)}::text[]
    ) AS item(namespace, type, circuit, buckets, openings, probes, probes_succeeded, open_ms, reason)
    WHERE task_gate.namespace = item.namespace AND task_gate.type = item.type`;
}

/** Puts the circuit of a type that is there into another state by hand, with nothing counted; whether it was another one. */
export async function setOtherCircuit(
  sql: Sql,
  { namespace, type }: GateKey,
  state: Extract<CircuitState, 'CLOSED' | 'FORCED_OPEN' | 'FORCED_CLOSED'>,
  why: { readonly actor: string; readonly reason: string },
): Promise<boolean> {
  const rows = await sql`
    INSERT INTO task_gate AS gate (namespace, type, circuit, circuit_time, circuit_by, circuit_reason)
    SELECT ${namespace}, ${type}, ${state}::circuit_state, now(), ${why.actor}, ${why.reason}
    WHERE EXISTS (SELECT 1 FROM task_type WHERE namespace = ${namespace} AND name = ${type} AND delete_time IS NULL)
      -- Closed is also what has no row.
      AND (${state} <> 'CLOSED' OR EXISTS (SELECT 1 FROM task_gate WHERE namespace = ${namespace} AND type = ${type}))
    ON CONFLICT (namespace, type) DO UPDATE SET circuit = EXCLUDED.circuit, circuit_time = now(),
      circuit_by = EXCLUDED.circuit_by, circuit_reason = EXCLUDED.circuit_reason, probe_time = NULL, openings = 0,
      buckets = '[]', probes = '[]', probes_succeeded = 0
    WHERE gate.circuit <> EXCLUDED.circuit`;
  return rows.count === 1;
}

function lockedCircuit(row: LockedRow): LockedCircuit {
  return {
    namespace: row.namespace,
    type: row.type,
    state: row.circuit,
    buckets: row.buckets,
    openings: row.openings,
    probes: row.probes,
    probesSucceeded: row.probes_succeeded,
    breaker: row.circuit_breaker ?? circuitBreakerDefault,
    nowMs: row.now_ms,
  };
}
