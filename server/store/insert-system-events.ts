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

/**
 * Records events of things that are no tasks. In a transaction that has locked or made the things' own rows, and as a
 * statement of its own after that one, so that it sees the last event of whoever had the rows before: index
 * `system_event_subject` has it. The stream order is that of `task_event`. Events of one thing do not come twice in one call.
 */
export async function insertSystemEvents(sql: Sql, events: readonly NewSystemEvent[]): Promise<void> {
  if (events.length === 0) return;
  await sql`
    INSERT INTO system_event (id, subject_id, sequence, time, namespace, kind, subject, actor, data, stream_order)
    SELECT dstc_uuid7(clock_timestamp()), item.subject_id, COALESCE(last.sequence, 0) + 1, now(), namespace, kind, subject,
      actor, data, GREATEST(last.stream_order, pg_current_xact_id())
    FROM (
      SELECT *, md5(concat_ws('/', split_part(kind, '.', 1), namespace, subject))::uuid AS subject_id
      FROM unnest(
        ${events.map((e) => e.namespace)}::text[], ${events.map((e) => e.kind)}::text[],
        ${events.map((e) => e.subject)}::text[], ${events.map((e) => e.actor)}::text[],
        ${events.map((e) => JSON.stringify(e.data ?? {}))}::jsonb[]
      ) AS i(namespace, kind, subject, actor, data)
    ) AS item
    LEFT JOIN LATERAL (
      SELECT sequence, stream_order FROM system_event
      WHERE system_event.subject_id = item.subject_id ORDER BY sequence DESC LIMIT 1
    ) AS last ON true`;
}
