import type { RetryPolicy } from '../domain/retry.ts';
import { arrayTypeIds } from './array-types.ts';
import { bytes } from './bytes.ts';
import type { Sql } from './database.ts';

/** A task to be, with everything that its type lends it filled in. */
export interface NewTask {
  readonly namespace: string;
  readonly type: string;
  /** Whose turns and limits it counts for; empty without a key. */
  readonly limitKey: string;
  readonly priority: number;
  readonly attemptsMax: number;
  /** Due at this instant; null is now. */
  readonly availableTime: Date | null;
  /** Added to the instant. */
  readonly delayMs: number;
  readonly startMs: number | null;
  /** Null is the node's. */
  readonly deliveryMs: number | null;
  readonly heartbeatMs: number | null;
  readonly runMs: number;
  readonly totalMs: number | null;
  /** Null is the default policy. */
  readonly retryPolicy: RetryPolicy | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly input: Uint8Array;
  readonly inputContentType: string;
  readonly idempotencyKey: string | null;
  /** SHA-256 of what was asked for; null without a key. */
  readonly requestHash: Uint8Array | null;
  readonly creator: string;
  /** The `traceparent` of its submission; null without one. */
  readonly traceParent: string | null;
  /** Where it may wait; absent for a task of a type whose queue has no limit. */
  readonly place?: { readonly reservationId: string } | undefined;
  /** Absent for a task that depends on nothing. */
  readonly dependencies?: {
    readonly count: number;
    /** Whether it waits for any of them. */
    readonly blocked: boolean;
  };
}

export interface InsertedTask {
  /** Position in the list that was inserted, from 0. */
  readonly index: number;
  readonly id: string;
  readonly createTime: Date;
  readonly availableTime: Date;
  /** Milliseconds until it is due, by the database's clock; at most 0 when it is. */
  readonly dueInMs: number;
}

/**
 * Inserts tasks with their first event, apart from those whose idempotency key exists, and those whose reservation of a
 * place is gone: those are missing from the answer. Keys are taken in one order, so that two batches with the same keys
 * wait for each other instead of locking each other out. Ids follow the order of the list.
 *
 * Reservations are held as `holdReservations` does, by primary key, and those that the tasks use up are deleted, so that
 * their places are never counted beside the tasks. A list without such tasks is another statement, which knows nothing of it.
 */
export async function insertTasks(
  sql: Sql,
  tasks: readonly NewTask[],
  usedUpIds: readonly string[] = [],
): Promise<InsertedTask[]> {
  const placed = tasks.flatMap(({ place }) => (place === undefined ? [] : [place.reservationId]));
  const held = () => sql`
    held AS MATERIALIZED (
      SELECT id FROM queue_reservation WHERE id = ANY(${[...new Set(placed)]}::uuid[]) ORDER BY id FOR KEY SHARE
    ), used_up AS (
      DELETE FROM queue_reservation USING held
      WHERE queue_reservation.id = held.id AND held.id = ANY(${usedUpIds}::uuid[])
    ),`;
  const rows = await sql<{ index: number; id: string; create_ms: number; available_ms: number; due_in_ms: number }[]>`
    WITH ${placed.length === 0 ? sql`` : held()} item AS MATERIALIZED (
      SELECT i.*, dstc_uuid7(now() + i.ord * interval '1 microsecond') AS id,
        COALESCE(i.available_time, now()) + i.delay_ms * interval '1 millisecond' AS due
      FROM unnest(
        ${tasks.map((t) => t.namespace)}::text[],
        ${tasks.map((t) => t.type)}::text[],
        ${tasks.map((t) => t.priority)}::smallint[],
        ${tasks.map((t) => t.attemptsMax)}::int[],
        ${tasks.map((t) => t.availableTime?.toISOString() ?? null)}::text[]::timestamptz[],
        ${tasks.map((t) => t.delayMs)}::float8[],
        ${tasks.map((t) => t.startMs)}::float8[],
        ${tasks.map((t) => t.runMs)}::bigint[],
        ${tasks.map((t) => t.totalMs)}::float8[],
        ${tasks.map((t) => t.deliveryMs)}::bigint[],
        ${tasks.map((t) => t.heartbeatMs)}::bigint[],
        ${tasks.map((t) => t.retryPolicy && JSON.stringify(t.retryPolicy))}::jsonb[],
        ${tasks.map((t) => JSON.stringify(t.labels))}::jsonb[],
        ${bytes(
          sql,
          tasks.map((t) => t.input),
        )}::bytea[],
        ${tasks.map((t) => t.inputContentType)}::text[],
        ${tasks.map((t) => t.idempotencyKey)}::text[],
        ${bytes(
          sql,
          tasks.map((t) => t.requestHash),
        )}::bytea[],
        ${tasks.map((t) => t.creator)}::text[], ${tasks.map((t) => t.limitKey)}::text[],
        ${tasks.map((t) => t.dependencies?.count ?? 0)}::smallint[],
        ${sql.typed(
          tasks.map((t) => t.dependencies?.blocked === true),
          arrayTypeIds.boolean,
        )}::boolean[],
        ${tasks.map((t) => t.traceParent)}::text[]
        ${placed.length === 0 ? sql`` : sql`, ${tasks.map((t) => t.place?.reservationId ?? null)}::uuid[]`}
      ) WITH ORDINALITY AS i(
        namespace, type, priority, attempts_max, available_time, delay_ms, start_ms, run_ms, total_ms,
        delivery_ms, heartbeat_ms, retry_policy, labels, input, input_content_type, idempotency_key, request_hash, creator,
        limit_key, dependency_count, blocked, trace_parent, ${placed.length === 0 ? sql`` : sql`reservation_id,`} ord)
      ${placed.length === 0 ? sql`` : sql`WHERE reservation_id IS NULL OR reservation_id IN (SELECT held.id FROM held)`}
    ), keyed AS (
      INSERT INTO idempotency_key (namespace, key, task_id, request_hash)
      SELECT namespace, idempotency_key, id, request_hash FROM item
      WHERE idempotency_key IS NOT NULL ORDER BY namespace, idempotency_key, ord
      ON CONFLICT DO NOTHING
      RETURNING task_id
    ), inserted AS (
      INSERT INTO task (
        id, namespace, type, limit_key, state, priority, attempts_max, create_time, available_time, start_deadline,
        total_deadline, start_ms, delivery_ms, heartbeat_ms, run_ms, total_ms, retry_policy, labels, input, input_content_type, idempotency_key, creator,
        dependency_count, trace_parent)
      SELECT id, namespace, type, limit_key, CASE WHEN blocked THEN 'BLOCKED' ELSE 'PENDING' END::task_state, priority,
        attempts_max, now(), due,
        -- Of a blocked task it begins when it is blocked no more.
        CASE WHEN NOT blocked THEN due + start_ms * interval '1 millisecond' END, now() + total_ms * interval '1 millisecond',
        start_ms, delivery_ms, heartbeat_ms, run_ms, total_ms, retry_policy, labels, input, input_content_type,
        idempotency_key, creator, dependency_count, trace_parent
      FROM item
      WHERE idempotency_key IS NULL OR id IN (SELECT task_id FROM keyed)
      ORDER BY ord
      RETURNING id, namespace, type, state, creator, create_time, available_time, stream_order
    ), recorded AS (
      INSERT INTO task_event (task_id, sequence, namespace, type, kind, state, attempt, actor, stream_order)
      SELECT id, 1, namespace, type, 'submitted', state, 0, creator, stream_order FROM inserted
    )
    SELECT item.ord::int - 1 AS index, inserted.id, extract(epoch FROM create_time)::float8 * 1000 AS create_ms,
      extract(epoch FROM inserted.available_time)::float8 * 1000 AS available_ms,
      extract(epoch FROM inserted.available_time - now())::float8 * 1000 AS due_in_ms
    FROM inserted JOIN item USING (id)`;
  return rows.map((row) => ({
    index: row.index,
    id: row.id,
    createTime: new Date(row.create_ms),
    availableTime: new Date(row.available_ms),
    dueInMs: row.due_in_ms,
  }));
}

export interface KeyedTask {
  readonly namespace: string;
  readonly key: string;
  readonly taskId: string;
  readonly requestHash: Uint8Array;
}

/** Reads what idempotency keys made, by primary key. */
export async function selectIdempotencyKeys(
  sql: Sql,
  keys: readonly { readonly namespace: string; readonly key: string }[],
): Promise<KeyedTask[]> {
  const rows = await sql<{ namespace: string; key: string; task_id: string; request_hash: Uint8Array }[]>`
    SELECT k.namespace, k.key, k.task_id, k.request_hash
    FROM unnest(${keys.map((k) => k.namespace)}::text[], ${keys.map((k) => k.key)}::text[]) AS wanted(namespace, key)
    JOIN idempotency_key k USING (namespace, key)`;
  return rows.map((row) => ({
    namespace: row.namespace,
    key: row.key,
    taskId: row.task_id,
    requestHash: row.request_hash,
  }));
}
