import { setTimeout as pause } from 'node:timers/promises';
import postgres from 'postgres';
import type { World } from './world.ts';

const warmUpMs = 4_000;
const measuredMs = 5_000;
const settleMsMax = 20_000;

/** Tasks a second, from submission to end, that this machine can do with all that a storm runs on it. */
export async function measurePeak(
  { postgres: database, submitters }: World,
  interrupted: AbortSignal,
): Promise<number> {
  const sql = postgres(database.url, { max: 1 });
  const counted = async (ended: boolean) => {
    const [row] = await sql<{ count: number }[]>`
      SELECT count(*)::int AS count FROM task WHERE (finished_time IS NOT NULL) = ${ended}`;
    return row?.count ?? 0;
  };
  try {
    for (const submitter of submitters) submitter.send({ kind: 'burst' });
    await pause(warmUpMs, undefined, { signal: interrupted });
    const [before, beganMs] = [await counted(true), performance.now()];
    await pause(measuredMs, undefined, { signal: interrupted });
    const peak = ((await counted(true)) - before) / ((performance.now() - beganMs) / 1_000);
    for (const submitter of submitters) submitter.send({ kind: 'rate', rate: 0, rateOfAll: 0 });
    const sinceMs = performance.now();
    while ((await counted(false)) > 0) {
      // Whatever is left then, the end of the storm tells.
      if (performance.now() - sinceMs > settleMsMax) break;
      await pause(100, undefined, { signal: interrupted });
    }
    return peak;
  } finally {
    await sql.end();
  }
}
