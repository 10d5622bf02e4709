import { setTimeout as pause } from 'node:timers/promises';
import type postgres from 'postgres';
import type { StormRecord } from './record.ts';
import { createSightings, type Happened, type Sightings, selectHappened, unseen } from './sightings.ts';

/** What comes at all comes sooner, also over a connection whose end has to be noticed first. */
const silenceMsMax = 30_000;

/** Waits until all that has happened was seen by whoever is to see it, or nothing of it comes any more. */
export async function catchUp(
  sql: postgres.Sql,
  record: StormRecord,
  { hasTime, ended }: { readonly hasTime: () => boolean; readonly ended: AbortSignal },
): Promise<void> {
  const sinceMs = performance.now();
  const happened = { ...(await selectHappened(sql)), seenMs: 0 };
  record.happened = happened;
  let fewest = Number.POSITIVE_INFINITY;
  for (let lastMs = sinceMs; hasTime() && performance.now() - lastMs < silenceMsMax; ) {
    const missing = unseenOnStream(record, happened).length + unseenBySubscription(record, happened).length;
    if (missing < fewest) {
      fewest = missing;
      lastMs = performance.now();
      happened.seenMs = lastMs - sinceMs;
    }
    if (missing === 0) return;
    await pause(500, undefined, { signal: ended });
  }
}

/** The stream that is there in the end is to have everything, also what was told to one before it. */
export function unseenOnStream(record: StormRecord, happened: Happened): string[] {
  if (!record.hasNats) return [];
  return unseen(happened, lastLife(record)).filter((id) => !record.unpublished.has(id));
}

export function unseenBySubscription({ subscribed }: StormRecord, { tasks }: Happened): string[] {
  return unseen({ tasks, others: new Set() }, subscribed);
}

export function lastLife({ onStream }: StormRecord): Sightings {
  return [...onStream.values()].at(-1) ?? createSightings();
}
