import type postgres from 'postgres';

/** Resolves when this many statements of the test's database wait for locks. */
export async function statementsWait(sql: postgres.ISql, count: number): Promise<void> {
  for (;;) {
    const waiting = await sql`
      SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    if (waiting.length >= count) return;
    await sql`SELECT pg_sleep(0.005)`;
  }
}
