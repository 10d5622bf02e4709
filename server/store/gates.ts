import type { Sql } from './database.ts';
import { and, eq, sql as fragment, getTableColumns, inArray, type PostgresJsDatabase } from './drizzle.ts';
import { taskGate } from './schema.ts';

export type GateRow = typeof taskGate.$inferSelect & {
  /** The database's clock. */
  readonly nowMs: number;
};

/** What a gate stands before: one type, or with an empty one the whole namespace. */
export interface GateKey {
  readonly namespace: string;
  readonly type: string;
}

/** Pauses what is not paused yet, a type only when it is there; whether it did. */
export async function pauseUnpausedGate(
  sql: Sql,
  { namespace, type }: GateKey,
  why: { readonly actor: string; readonly reason: string },
): Promise<boolean> {
  const rows = await sql`
    INSERT INTO task_gate AS gate (namespace, type, paused_time, paused_by, pause_reason)
    SELECT ${namespace}, ${type}, now(), ${why.actor}, ${why.reason}
    WHERE ${type} = '' OR EXISTS (SELECT 1 FROM task_type WHERE namespace = ${namespace} AND name = ${type} AND delete_time IS NULL)
    ON CONFLICT (namespace, type) DO UPDATE SET paused_time = now(), paused_by = EXCLUDED.paused_by,
      pause_reason = EXCLUDED.pause_reason
    WHERE gate.paused_time IS NULL`;
  return rows.count === 1;
}

/** Ends a pause; whether there was one. */
export async function resumePausedGate(sql: Sql, { namespace, type }: GateKey): Promise<boolean> {
  const rows = await sql`
    UPDATE task_gate SET paused_time = NULL, paused_by = NULL, pause_reason = NULL
    WHERE namespace = ${namespace} AND type = ${type} AND paused_time IS NOT NULL`;
  return rows.count === 1;
}

/** The gates of types, and of their namespace, as far as there are any; by primary key. */
export function selectGates(orm: PostgresJsDatabase, namespace: string, types: readonly string[]): Promise<GateRow[]> {
  return orm
    .select({ ...getTableColumns(taskGate), nowMs: fragment<number>`extract(epoch FROM now())::float8 * 1000` })
    .from(taskGate)
    .where(and(eq(taskGate.namespace, namespace), inArray(taskGate.type, ['', ...types])));
}
