import { setTimeout as pause } from 'node:timers/promises';
import postgres from 'postgres';

/**
 * Publishing begins with what is committed from the first start of a coordinator with NATS on. Waits until one has begun
 * and resolves with the ids of what there is by then: some of it came before.
 */
export async function unpublishedEvents(url: string, interrupted: AbortSignal): Promise<string[]> {
  const sql = postgres(url, { max: 1 });
  try {
    while ((await sql`SELECT 1 FROM event_reader WHERE reader = 'nats'`).length === 0) {
      await pause(50, undefined, { signal: interrupted });
    }
    return (await sql<{ id: string }[]>`SELECT id FROM system_event`).map(({ id }) => id);
  } finally {
    await sql.end();
  }
}
