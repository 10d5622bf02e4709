import postgres from 'postgres';
import type { Stall } from './starvation.ts';

const intervalMs = 250;
/** A commit that takes longer waited for the processor or for the disk. */
const commitMsMax = 100;

/**
 * Tells when Postgres was late with a small commit because the machine was busy, which holds up all that is asked of it.
 * While it is away it says nothing: that is a fault. Returns what ends it.
 */
export function watchPostgres(url: string, report: (stall: Stall) => void): () => Promise<void> {
  const sql = postgres(url, { max: 1, connect_timeout: 2, onnotice: () => undefined });
  let isAsking = false;

  async function ask(): Promise<void> {
    const askedMs = performance.now();
    await sql`SELECT pg_logical_emit_message(true, 'storm', '')`;
    const tookMs = performance.now() - askedMs;
    if (tookMs > commitMsMax) report({ atMs: Date.now(), ms: tookMs - commitMsMax, spanMs: tookMs });
  }

  const timer = setInterval(() => {
    if (isAsking) return;
    isAsking = true;
    ask()
      // It is one of those that are hit.
      .catch(() => undefined)
      .finally(() => {
        isAsking = false;
      });
  }, intervalMs);
  return async () => {
    clearInterval(timer);
    await sql.end({ timeout: 1 });
  };
}
