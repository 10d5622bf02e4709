import type postgres from 'postgres';
import type { SystemEventData, SystemEventKind } from '../domain/system-event.ts';
import type { Sql } from './database.ts';

export interface NewSystemEvent {
  /** Empty for the policy. */
  readonly namespace: string;
  readonly kind: SystemEventKind;
  /** A task type, a worker session, a namespace, or `policy`. */
  readonly subject: string;
  readonly actor: string;
  readonly data?: SystemEventData;
}

/** The thing that an event is about as one id, in SQL. */
export function systemSubjectId(
  sql: Sql,
  of: Readonly<Record<'kind' | 'namespace' | 'subject', postgres.PendingQuery<postgres.Row[]>>>,
) {
  return sql`md5(concat_ws('/', split_part(${of.kind}, '.', 1), ${of.namespace}, ${of.subject}))::uuid`;
}

/**
 * Records events of things that are no tasks. In a transaction that has locked or made the things' own rows, and as a
 * statement of its own after that one, so that it sees the last event of whoever had the rows before: index
 * `system_event_subject` has it. The stream order is that of `task_event`. Events of one thing do not come twice in one call.
 *
 * Without `repeats`, an event of the kind that the last one of its thing had is left out.
 */
export async function insertSystemEvents(
  sql: Sql,
  events: readonly NewSystemEvent[],
  { repeats = true }: { readonly repeats?: boolean } = {},
): Promise<void> {
  if (events.length === 0) return;
  const columns = { kind: sql`kind`, namespace: sql`namespace`, subject: sql`subject` };
  await sql`
    INSERT INTO system_event (id, subject_id, sequence, time, namespace, kind, subject, actor, data, stream_order)
    SELECT dstc_uuid7(clock_timestamp()), item.subject_id, COALESCE(last.sequence, 0) + 1, now(), namespace, item.kind,
      subject, actor, data, GREATEST(last.stream_order, pg_current_xact_id())
    FROM (
      SELECT *, ${systemSubjectId(sql, columns)} AS subject_id
      FROM unnest(
        ${events.map((e) => e.namespace)}::text[], ${events.map((e) => e.kind)}::text[],
        ${events.map((e) => e.subject)}::text[], ${events.map((e) => e.actor)}::text[],
        ${events.map((e) => JSON.stringify(e.data ?? {}))}::jsonb[]
      ) AS i(namespace, kind, subject, actor, data)
    ) AS item
    LEFT JOIN LATERAL (
      SELECT sequence, stream_order, kind FROM system_event
      WHERE system_event.subject_id = item.subject_id ORDER BY sequence DESC LIMIT 1
    ) AS last ON true
    WHERE ${repeats}::boolean OR last.kind IS DISTINCT FROM item.kind`;
}
