import { and, asc, eq, sql as fragment, gt } from 'drizzle-orm';
import type { PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import type { Sql } from './database.ts';
import { workerSession } from './schema.ts';

/** A worker session as it is stored when it begins. */
export interface NewSession {
  readonly namespace: string;
  readonly principal: string;
  readonly secretHash: Uint8Array;
  readonly node: string;
  readonly taskTypes: Readonly<Record<string, number>>;
  readonly slots: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly sdkName: string;
  readonly sdkVersion: string;
  readonly buildVersion: string;
}

/** Begins a session; answers with its id, a UUIDv7. */
export async function insertSession(sql: Sql, session: NewSession, leaseMs: number): Promise<string> {
  const rows = await sql<{ id: string }[]>`
    INSERT INTO worker_session (id, namespace, principal, secret_hash, node, task_types, slots, labels, sdk_name,
      sdk_version, build_version, expire_time)
    VALUES (dstc_uuid7(now()), ${session.namespace}, ${session.principal}, ${session.secretHash}, ${session.node},
      ${JSON.stringify(session.taskTypes)}::jsonb, ${session.slots}, ${JSON.stringify(session.labels)}::jsonb,
      ${session.sdkName}, ${session.sdkVersion}, ${session.buildVersion},
      now() + ${leaseMs}::float8 * interval '1 millisecond')
    RETURNING id`;
  const [row] = rows;
  if (row === undefined) throw new Error('an insert without conditions answered with no row');
  return row.id;
}

/**
 * Moves a session to this node and renews it; false when it was swept, is foreign, or the secret is another. One that
 * has expired and was not swept yet still has its leases, so it goes on.
 */
export async function resumeSession(
  sql: Sql,
  session: { readonly id: string } & Pick<NewSession, 'namespace' | 'principal' | 'secretHash' | 'node'>,
  leaseMs: number,
): Promise<boolean> {
  const rows = await sql`
    UPDATE worker_session SET node = ${session.node}, expire_time = now() + ${leaseMs}::float8 * interval '1 millisecond'
    WHERE id = ${session.id} AND namespace = ${session.namespace} AND principal = ${session.principal}
      AND secret_hash = ${session.secretHash}
    RETURNING id`;
  return rows.length === 1;
}

/** A session and how much longer it lives without another sign of life. */
export interface Renewal {
  readonly id: string;
  readonly lifeMs: number;
}

/** Renews sessions of this node in one statement; those missing from the answer were swept, or moved to another node. */
export async function renewSessionsOfNode(sql: Sql, node: string, renewals: readonly Renewal[]): Promise<Set<string>> {
  const rows = await sql<{ id: string }[]>`
    UPDATE worker_session SET expire_time = now() + item.life_ms * interval '1 millisecond'
    FROM unnest(${renewals.map((r) => r.id)}::uuid[], ${renewals.map((r) => r.lifeMs)}::float8[]) AS item(id, life_ms)
    WHERE worker_session.id = item.id AND node = ${node}
    RETURNING worker_session.id`;
  return new Set(rows.map((row) => row.id));
}

/** Ends a session of this node in order; the next sweep takes back what it still holds and removes it. */
export async function expireSessionOfNode(sql: Sql, node: string, id: string): Promise<void> {
  await sql`UPDATE worker_session SET expire_time = now() WHERE id = ${id} AND node = ${node}`;
}

/** Locks sessions that have expired, so that no lease is given to them any more; by index `worker_session_expire`. */
export async function lockExpiredSessions(sql: Sql, sessionsMax: number): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT id FROM worker_session WHERE expire_time <= now()
    ORDER BY expire_time LIMIT ${sessionsMax} FOR UPDATE SKIP LOCKED`;
  return rows.map((row) => row.id);
}

/** Deletes those of the sessions that hold no lease any more. */
export async function deleteLeaselessSessions(sql: Sql, ids: readonly string[]): Promise<void> {
  await sql`
    DELETE FROM worker_session WHERE id = ANY(${ids}::uuid[])
      AND NOT EXISTS (SELECT 1 FROM task WHERE session_id = worker_session.id AND state = 'RUNNING')`;
}

export interface SessionLease {
  readonly taskId: string;
  readonly attempt: number;
  readonly leaseId: string;
  readonly type: string;
  readonly accepted: boolean;
}

/** The leases that a session holds, by index `task_running`. */
export function selectLeasesOfSession(sql: Sql, sessionId: string): Promise<SessionLease[]> {
  return sql<SessionLease[]>`
    SELECT id AS "taskId", attempt, lease_id AS "leaseId", type, started_time IS NOT NULL AS accepted FROM task
    WHERE session_id = ${sessionId} AND state = 'RUNNING'`;
}

/** A lease whose worker is asked to stop. */
export interface CancelNotice {
  readonly taskId: string;
  readonly attempt: number;
  readonly leaseId: string;
  readonly sessionId: string;
  readonly reason: string | null;
  readonly graceMs: number;
}

export type SessionRow = typeof workerSession.$inferSelect & { readonly leases: number };

/** A page of the live sessions of a namespace, by id. */
export async function selectSessions(
  orm: PostgresJsDatabase,
  page: { readonly namespace: string; readonly afterId: string | undefined; readonly size: number },
): Promise<SessionRow[]> {
  const rows = await orm
    .select({
      session: workerSession,
      // The table's name is spelt out: Drizzle would leave it away, and `id` is the task's here.
      leases: fragment<number>`(SELECT count(*)::int FROM task WHERE session_id = worker_session.id AND state = 'RUNNING')`,
    })
    .from(workerSession)
    .where(
      and(
        eq(workerSession.namespace, page.namespace),
        gt(workerSession.expireTime, fragment`now()`),
        page.afterId === undefined ? undefined : gt(workerSession.id, page.afterId),
      ),
    )
    .orderBy(asc(workerSession.id))
    .limit(page.size);
  return rows.map(({ session, leases }) => ({ ...session, leases }));
}
