import type postgres from 'postgres';
import type { Property } from './property.ts';

const tasksMax = 3;

interface EventRow {
  readonly time: Date;
  readonly sequence: number;
  readonly kind: string;
  readonly state: string;
  readonly attempt: number;
  readonly leaseId: string | null;
  readonly sessionId: string | null;
  readonly actor: string;
}

/** The histories of the first tasks that something was wrong with. */
export async function explain(sql: postgres.Sql, properties: readonly Property[]): Promise<string> {
  const ids = new Set(properties.flatMap(({ violations }) => violations.flatMap(({ taskId }) => taskId ?? [])));
  const parts: string[] = [];
  for (const id of [...ids].slice(0, tasksMax)) {
    const events = await sql<EventRow[]>`
      SELECT time, sequence, kind, state, attempt, lease_id AS "leaseId", session_id AS "sessionId", actor
      FROM task_event WHERE task_id = ${id} ORDER BY sequence, time`;
    parts.push(`history of ${id}:`, ...events.map(lineOf));
  }
  return parts.join('\n');
}

function lineOf({ time, sequence, kind, state, attempt, leaseId, sessionId, actor }: EventRow): string {
  const lease = leaseId === null ? '' : ` lease ${leaseId} of session ${sessionId}`;
  return `  ${sequence} ${time.toISOString()} ${kind} -> ${state}, attempt ${attempt}${lease}, by ${actor}`;
}
