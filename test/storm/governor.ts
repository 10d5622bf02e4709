import postgres from 'postgres';
import type { World } from './world.ts';

const intervalMs = 2_000;
/** More than this much work waiting is more than a storm can be over with soon. */
const backlogSecondsMax = 4;

/** Lets the submitters go at a rate, and at a quarter of it while too much waits. Returns what ends it. */
export function govern({ postgres: database, submitters }: World, rate: number): () => Promise<void> {
  const sql = postgres(database.url, { max: 1, connect_timeout: 2, onnotice: () => undefined });
  let isLooking = false;

  function set(share: number): void {
    for (const { send } of submitters)
      send({ kind: 'rate', rate: (share * rate) / submitters.length, rateOfAll: share * rate });
  }

  async function look(): Promise<void> {
    const waiting = await sql`
      SELECT 1 FROM task WHERE state = 'PENDING' AND available_time <= now() LIMIT ${Math.ceil(rate * backlogSecondsMax)}`;
    set(waiting.length < rate * backlogSecondsMax ? 1 : 0.25);
  }

  set(1);
  const timer = setInterval(() => {
    if (isLooking) return;
    isLooking = true;
    look()
      // Postgres is one of those that are hit.
      .catch(() => set(0.25))
      .finally(() => {
        isLooking = false;
      });
  }, intervalMs);
  return async () => {
    clearInterval(timer);
    await sql.end({ timeout: 1 });
  };
}
