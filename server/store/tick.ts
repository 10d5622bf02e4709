import { allowedWants, type Want } from './allowance.ts';
import type { Sql } from './database.ts';
import { type CancelNotice, cancelNotice, type DrainNotice, drainNotice } from './sessions.ts';
import { outgrownTables } from './statistics.ts';

/** What a node has to look after now. */
export interface Tick {
  readonly hasExpiredSessions: boolean;
  /** Sessions whose time to stop is over. */
  readonly hasDrainedSessions: boolean;
  /** How long ago the first of all deadlines of tasks passed; below 0 when it is still to come, null when there is none. */
  readonly overdueMs: number | null;
  /** Whether tasks have ended that others wait for, and nobody told them. */
  readonly hasEndedDependencies: boolean;
  /** Whether Postgres takes tables to be much smaller than they are. */
  readonly hasOutgrownTables: boolean;
  /** Those of the wanted queues that have a due task which may be leased. */
  readonly due: readonly { readonly namespace: string; readonly type: string }[];
  readonly cancels: readonly CancelNotice[];
  readonly drains: readonly DrainNotice[];
  readonly shut: ShutGates;
}

/** How many types and namespaces are held up, over all nodes. */
export interface ShutGates {
  readonly paused: number;
  /** Circuits that are open, also by hand. */
  readonly open: number;
  readonly halfOpen: number;
}

/**
 * Looks for work of every kind in one statement, the only one that an idle node sends, with one short index probe for
 * each kind and each wanted queue and priority.
 */
export async function selectTick(sql: Sql, wants: readonly Want[], sessionIds: readonly string[]): Promise<Tick> {
  const rows = await sql<
    {
      has_expired_sessions: boolean;
      has_drained_sessions: boolean;
      overdue_ms: number | null;
      has_ended_dependencies: boolean;
      has_outgrown_tables: boolean;
      due: Tick['due'] | null;
      cancels: CancelNotice[] | null;
      drains: DrainNotice[] | null;
      shut: ShutGates;
    }[]
  >`
    SELECT
      EXISTS (SELECT 1 FROM worker_session WHERE expire_time <= now()) AS has_expired_sessions,
      EXISTS (SELECT 1 FROM worker_session WHERE drain_time IS NOT NULL AND drain_deadline <= now())
        AS has_drained_sessions,
      (
        SELECT extract(epoch FROM now() -
          LEAST(start_deadline, run_deadline, total_deadline, cancel_deadline, heartbeat_deadline))::float8 * 1000
        FROM task
        WHERE state IN ('BLOCKED', 'PENDING', 'RUNNING')
          AND LEAST(start_deadline, run_deadline, total_deadline, cancel_deadline, heartbeat_deadline) IS NOT NULL
        ORDER BY LEAST(start_deadline, run_deadline, total_deadline, cancel_deadline, heartbeat_deadline) LIMIT 1
      ) AS overdue_ms,
      -- In an order, so that only the index task_ended_dependency serves, which is empty most of the time.
      (
        SELECT id FROM task WHERE has_dependents AND finished_time IS NOT NULL ORDER BY finished_time LIMIT 1
      ) IS NOT NULL AS has_ended_dependencies,
      EXISTS (${outgrownTables(sql)}) AS has_outgrown_tables,
      (
        SELECT jsonb_agg(jsonb_build_object('namespace', want.namespace, 'type', want.type))
        FROM (${allowedWants(sql, wants, { forClaim: false })}) AS want
        -- Of a type with limits anything that waits: what of it is due, only a claim can say.
        WHERE EXISTS (
          SELECT 1 FROM limited_type JOIN task USING (namespace, type)
          WHERE limited_type.namespace = want.namespace AND limited_type.type = want.type
            AND state = 'PENDING' AND paused_time IS NULL
        ) OR EXISTS (
          SELECT 1 FROM generate_series(0, 9) AS level(priority) CROSS JOIN LATERAL (
            SELECT 1 FROM task
            WHERE task.namespace = want.namespace AND task.type = want.type AND limit_key = ''
              AND task.priority = level.priority
              AND state = 'PENDING' AND paused_time IS NULL AND available_time <= now()
            ORDER BY available_time LIMIT 1
          ) AS found
        )
      ) AS due,
      (
        SELECT jsonb_agg(${cancelNotice(sql)}) FROM task
        WHERE session_id = ANY(${sessionIds}::uuid[]) AND state = 'RUNNING' AND cancel_deadline IS NOT NULL
      ) AS cancels,
      (
        SELECT jsonb_agg(${drainNotice(sql)}) FROM worker_session
        WHERE id = ANY(${sessionIds}::uuid[]) AND drain_time IS NOT NULL
      ) AS drains,
      (
        SELECT jsonb_build_object('paused', count(paused_time),
          'open', count(*) FILTER (WHERE circuit IN ('OPEN', 'FORCED_OPEN')),
          'halfOpen', count(*) FILTER (WHERE circuit = 'HALF_OPEN'))
        FROM task_gate WHERE paused_time IS NOT NULL OR circuit <> 'CLOSED'
      ) AS shut`;
  const [row] = rows;
  if (row === undefined) throw new Error('a select without a condition answered with no row');
  return {
    hasExpiredSessions: row.has_expired_sessions,
    hasDrainedSessions: row.has_drained_sessions,
    overdueMs: row.overdue_ms,
    hasEndedDependencies: row.has_ended_dependencies,
    hasOutgrownTables: row.has_outgrown_tables,
    due: row.due ?? [],
    cancels: row.cancels ?? [],
    drains: row.drains ?? [],
    shut: row.shut,
  };
}
