import type { Fence } from '../domain/ids.ts';
import type { SystemEventData } from '../domain/system-event.ts';
import type { Sql } from './database.ts';
import { and, asc, eq, sql as fragment, gt, type PostgresJsDatabase, type SQL } from './drizzle.ts';
import { systemSubjectId } from './insert-system-events.ts';
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

/**
 * Begins a session; answers with its id, a UUIDv7. Its first event is written by the same statement, as there is none before
 * it to be seen: when a thousand workers come at once, each still costs one round trip.
 */
export async function insertSession(sql: Sql, session: NewSession, leaseMs: number): Promise<string> {
  const { taskTypes, labels, node } = session;
  const told: SystemEventData = { taskTypes, labels, node };
  const columns = { kind: sql`'worker_session.started'`, namespace: sql`namespace`, subject: sql`id` };
  const rows = await sql<{ id: string }[]>`
    WITH started AS (
      INSERT INTO worker_session (id, namespace, principal, secret_hash, node, task_types, slots, labels, sdk_name,
        sdk_version, build_version, expire_time)
      VALUES (dstc_uuid7(now()), ${session.namespace}, ${session.principal}, ${session.secretHash}, ${node},
        ${JSON.stringify(taskTypes)}::jsonb, ${session.slots}, ${JSON.stringify(labels)}::jsonb,
        ${session.sdkName}, ${session.sdkVersion}, ${session.buildVersion},
        now() + ${leaseMs}::float8 * interval '1 millisecond')
      RETURNING id, namespace, principal
    ), recorded AS (
      INSERT INTO system_event (id, subject_id, sequence, namespace, kind, subject, actor, data, stream_order)
      SELECT dstc_uuid7(clock_timestamp()), ${systemSubjectId(sql, columns)}, 1, namespace, 'worker_session.started', id,
        principal, ${JSON.stringify(told)}::jsonb, pg_current_xact_id()
      FROM started
    )
    SELECT id FROM started`;
  const [row] = rows;
  if (row === undefined) throw new Error('an insert without conditions answered with no row');
  return row.id;
}

/** That a session is to stop, as an operator has said. */
export interface DrainNotice {
  readonly sessionId: string;
  /** Changes each time that it is said. */
  readonly time: string;
  readonly reason: string;
  /** What is left of its time; null is no end. */
  readonly leftMs: number | null;
}

/** A session that was resumed; `drain` when it is to stop. */
export interface ResumedSession {
  readonly drain: DrainNotice | null;
}

/** What a DrainNotice is made of, in SQL. */
export function drainNotice(sql: Sql) {
  return sql`CASE WHEN drain_time IS NOT NULL THEN jsonb_build_object('sessionId', worker_session.id, 'time', drain_time,
    'reason', drain_reason, 'leftMs', extract(epoch FROM drain_deadline - now()) * 1000) END`;
}

/**
 * Moves a session to this node and renews it; undefined when it was swept, is foreign, or the secret is another. One
 * that has expired and was not swept yet still has its leases, so it goes on.
 */
export async function resumeSession(
  sql: Sql,
  session: { readonly id: string } & Pick<NewSession, 'namespace' | 'principal' | 'secretHash' | 'node'>,
  leaseMs: number,
): Promise<ResumedSession | undefined> {
  const rows = await sql<ResumedSession[]>`
    UPDATE worker_session SET node = ${session.node}, expire_time = now() + ${leaseMs}::float8 * interval '1 millisecond'
    WHERE id = ${session.id} AND namespace = ${session.namespace} AND principal = ${session.principal}
      AND secret_hash = ${session.secretHash}
    RETURNING ${drainNotice(sql)} AS drain`;
  return rows[0];
}

/** What was said to a session, and until when it may work; null is no end. */
export interface Drained {
  readonly notice: DrainNotice;
  readonly deadline: Date | null;
}

/** Has a live session stop; undefined when there is none. Saying it again replaces the reason and the time. */
export async function drainLiveSession(
  sql: Sql,
  drain: {
    readonly id: string;
    readonly namespace: string;
    readonly reason: string;
    readonly withinMs: number | undefined;
  },
): Promise<Drained | undefined> {
  const rows = await sql<{ notice: DrainNotice; deadline_ms: number | null }[]>`
    UPDATE worker_session SET drain_time = clock_timestamp(), drain_reason = ${drain.reason},
      drain_deadline = now() + ${drain.withinMs ?? null}::float8 * interval '1 millisecond'
    WHERE id = ${drain.id} AND namespace = ${drain.namespace} AND expire_time > now()
    RETURNING ${drainNotice(sql)} AS notice, extract(epoch FROM drain_deadline)::float8 * 1000 AS deadline_ms`;
  const [row] = rows;
  if (row === undefined) return undefined;
  return { notice: row.notice, deadline: row.deadline_ms === null ? null : new Date(row.deadline_ms) };
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

/**
 * Ends a session of this node in order; the next sweep takes back what it still holds and removes it. That it did not
 * just fall silent shows in a time that no silence leads to; one that comes back before the sweep goes on.
 */
export async function expireSessionOfNode(sql: Sql, node: string, id: string): Promise<void> {
  await sql`UPDATE worker_session SET expire_time = '-infinity' WHERE id = ${id} AND node = ${node}`;
}

/** A session that is locked until the transaction ends. */
export interface LockedSession {
  readonly id: string;
  readonly namespace: string;
  readonly principal: string;
  /** Whether its worker has ended it. */
  readonly isClosed: boolean;
}

const lockedColumns = (sql: Sql) => sql`id, namespace, principal, expire_time = '-infinity' AS "isClosed"`;

/** Locks sessions that have expired, so that no lease is given to them any more; by index `worker_session_expire`. */
export function lockExpiredSessions(sql: Sql, sessionsMax: number): Promise<LockedSession[]> {
  return sql<LockedSession[]>`
    SELECT ${lockedColumns(sql)} FROM worker_session WHERE expire_time <= now()
    ORDER BY expire_time LIMIT ${sessionsMax} FOR UPDATE SKIP LOCKED`;
}

/** Locks sessions whose time to stop is over; by index `worker_session_drain`. */
export function lockDrainedSessions(sql: Sql, sessionsMax: number): Promise<LockedSession[]> {
  return sql<LockedSession[]>`
    SELECT ${lockedColumns(sql)} FROM worker_session WHERE drain_time IS NOT NULL AND drain_deadline <= now()
    ORDER BY drain_deadline LIMIT ${sessionsMax} FOR UPDATE SKIP LOCKED`;
}

/** Deletes those of the sessions that hold no lease any more; answers with their ids. */
export async function deleteLeaselessSessions(sql: Sql, ids: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await sql<{ id: string }[]>`
    DELETE FROM worker_session WHERE id = ANY(${ids}::uuid[])
      AND NOT EXISTS (SELECT 1 FROM task WHERE session_id = worker_session.id AND state = 'RUNNING')
    RETURNING id`;
  return new Set(rows.map((row) => row.id));
}

export interface SessionLease {
  readonly taskId: string;
  readonly attempt: number;
  readonly leaseId: string;
  readonly type: string;
  readonly accepted: boolean;
  /** Since it was given. */
  readonly ageMs: number;
}

/** The leases that a session holds, by index `task_running`. */
export function selectLeasesOfSession(sql: Sql, sessionId: string): Promise<SessionLease[]> {
  return sql<SessionLease[]>`
    SELECT id AS "taskId", attempt, lease_id AS "leaseId", type, started_time IS NOT NULL AS accepted,
      extract(epoch FROM now() - run_deadline)::float8 * 1000 + run_ms AS "ageMs"
    FROM task
    WHERE session_id = ${sessionId} AND state = 'RUNNING'`;
}

/** Those of the leases, by id, that are held; by primary key. */
export async function selectCurrentLeases(
  sql: Sql,
  leases: readonly { readonly fence: Fence; readonly sessionId: string }[],
): Promise<Set<string>> {
  const rows = await sql<{ lease_id: string }[]>`
    SELECT task.lease_id
    FROM unnest(
      ${leases.map((l) => l.fence.taskId)}::uuid[], ${leases.map((l) => l.fence.attempt)}::int[],
      ${leases.map((l) => l.fence.leaseId)}::uuid[], ${leases.map((l) => l.sessionId)}::uuid[]
    ) AS item(id, attempt, lease_id, session_id)
    JOIN task ON task.id = item.id AND task.attempt = item.attempt AND task.lease_id = item.lease_id
      AND task.session_id = item.session_id AND state::text = 'RUNNING'`;
  return new Set(rows.map((row) => row.lease_id));
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

/** In JSON, of rows of `task` that a cancel waits for. */
export function cancelNotice(sql: Sql) {
  return sql`jsonb_build_object('taskId', id, 'attempt', attempt, 'leaseId', lease_id, 'sessionId', session_id,
    'reason', cancel_reason, 'graceMs', GREATEST(0, extract(epoch FROM cancel_deadline - now()) * 1000))`;
}

/** What sessions hold that is to be cancelled, by index `task_cancelling`. */
export async function selectCancelNotices(sql: Sql, sessionIds: readonly string[]): Promise<CancelNotice[]> {
  const rows = await sql<{ notice: CancelNotice }[]>`
    SELECT ${cancelNotice(sql)} AS notice FROM task
    WHERE session_id = ANY(${sessionIds}::uuid[]) AND state = 'RUNNING' AND cancel_deadline IS NOT NULL`;
  return rows.map(({ notice }) => notice);
}

export type SessionRow = typeof workerSession.$inferSelect & { readonly leases: number };

/** A page of the live sessions of a namespace, by id. */
export function selectSessions(
  orm: PostgresJsDatabase,
  page: { readonly namespace: string; readonly afterId: string | undefined; readonly size: number },
): Promise<SessionRow[]> {
  return liveSessions(
    orm,
    page.namespace,
    page.afterId === undefined ? undefined : gt(workerSession.id, page.afterId),
    page.size,
  );
}

/** One live session of a namespace. */
export async function selectSession(
  orm: PostgresJsDatabase,
  which: { readonly namespace: string; readonly id: string },
): Promise<SessionRow | undefined> {
  const [row] = await liveSessions(orm, which.namespace, eq(workerSession.id, which.id), 1);
  return row;
}

async function liveSessions(
  orm: PostgresJsDatabase,
  namespace: string,
  which: SQL | undefined,
  size: number,
): Promise<SessionRow[]> {
  const rows = await orm
    .select({
      session: workerSession,
      // The table's name is spelt out: Drizzle would leave it away, and `id` is the task's here.
      leases: fragment<number>`(SELECT count(*)::int FROM task WHERE session_id = worker_session.id AND state = 'RUNNING')`,
    })
    .from(workerSession)
    .where(and(eq(workerSession.namespace, namespace), gt(workerSession.expireTime, fragment`now()`), which))
    .orderBy(asc(workerSession.id))
    .limit(size);
  return rows.map(({ session, leases }) => ({ ...session, leases }));
}
