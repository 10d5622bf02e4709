import type postgres from 'postgres';
import { circuitBreakerDefault } from '../domain/limits.ts';
import type { Sql } from './database.ts';

/** Tasks of one type that a node could place now. */
export interface Want {
  readonly namespace: string;
  readonly type: string;
  readonly tasksMax: number;
}

/**
 * How many of its wanted tasks each type may lease now, as a query of (namespace, type, tasks_max, is_probing); types that
 * may lease none are left out, and what is leased of those that are probing are probes. The one place where that is decided: the claim and the tick both read from it. Gates are few, and
 * found by primary key.
 *
 * A claim locks the gates of circuits that let probes through, so that all nodes together lease no more probes than
 * they may. A gate that somebody else has locked lets nothing through until the next look.
 *
 * The first list stands in a select of its own, so that plans are kept (decision 13).
 */
export function allowedWants(
  sql: Sql,
  wants: readonly Want[],
  { forClaim }: { readonly forClaim: boolean },
): postgres.PendingQuery<postgres.Row[]> {
  return sql`
    SELECT want.namespace, want.type, LEAST(want.tasks_max, probing.probes_left) AS tasks_max,
      probing.probes_left IS NOT NULL AS is_probing
    FROM unnest(
      (SELECT ${wants.map((w) => w.namespace)}::text[]), ${wants.map((w) => w.type)}::text[], ${wants.map((w) => w.tasksMax)}::int[]
    ) AS want(namespace, type, tasks_max)
    LEFT JOIN task_gate AS whole ON whole.namespace = want.namespace AND whole.type = ''
    LEFT JOIN task_gate AS gate ON gate.namespace = want.namespace AND gate.type = want.type
    LEFT JOIN LATERAL (
      SELECT COALESCE((circuit_breaker->>'probes')::int, ${circuitBreakerDefault.probes})
        - probes_succeeded - jsonb_array_length(probes) AS probes_left
      FROM task_gate AS own LEFT JOIN task_type ON task_type.namespace = own.namespace AND task_type.name = own.type
      WHERE own.namespace = gate.namespace AND own.type = gate.type
        AND (circuit = 'HALF_OPEN' OR circuit = 'OPEN' AND probe_time <= now())
      ${forClaim ? sql`FOR UPDATE OF own SKIP LOCKED` : sql``}
    ) AS probing ON true
    WHERE whole.paused_time IS NULL AND gate.paused_time IS NULL
      AND (gate.circuit IS NULL OR gate.circuit IN ('CLOSED', 'FORCED_CLOSED') OR probing.probes_left > 0)`;
}
