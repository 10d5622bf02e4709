import type postgres from 'postgres';
import type { Sql } from './database.ts';

/** Tasks of one type that a node could place now. */
export interface Want {
  readonly namespace: string;
  readonly type: string;
  readonly tasksMax: number;
}

/**
 * How many of its wanted tasks each type may lease now, as a query of (namespace, type, tasks_max); types that may lease
 * none are left out. The one place where that is decided: the claim and the tick both read from it. Gates are few, and
 * found by primary key.
 */
export function allowedWants(sql: Sql, wants: readonly Want[]): postgres.PendingQuery<postgres.Row[]> {
  return sql`
    SELECT want.namespace, want.type, want.tasks_max
    FROM unnest(
      ${wants.map((w) => w.namespace)}::text[], ${wants.map((w) => w.type)}::text[], ${wants.map((w) => w.tasksMax)}::int[]
    ) AS want(namespace, type, tasks_max)
    WHERE NOT EXISTS (
      SELECT 1 FROM task_gate AS gate
      WHERE gate.namespace = want.namespace AND gate.type IN ('', want.type) AND gate.paused_time IS NOT NULL
    )`;
}
