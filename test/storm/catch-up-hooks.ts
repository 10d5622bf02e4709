import { setTimeout as pause } from 'node:timers/promises';
import type postgres from 'postgres';
import { limits, webhookRetry } from '../../server/domain/limits.ts';
import { hookKinds, hookTypes } from './hook.ts';
import type { Member } from './member.ts';
import type { StormRecord } from './record.ts';

/** What comes at all comes sooner. */
const silenceMsMax = 20_000;

export interface HookDeps {
  readonly sql: postgres.Sql;
  readonly record: StormRecord;
  readonly receiver: Member;
}

/**
 * Waits until there is a delivery of every event that the webhook is to get, has those sent at once that wait for a circuit
 * or for their next attempt, and waits until the endpoint took them all, or nothing comes any more.
 */
export async function catchUpHooks(
  { sql, record: { hooks }, receiver }: HookDeps,
  { hasTime, ended }: { readonly hasTime: () => boolean; readonly ended: AbortSignal },
): Promise<void> {
  async function untilNone(count: () => Promise<number>): Promise<void> {
    let fewest = Number.POSITIVE_INFINITY;
    for (let lastMs = performance.now(); hasTime() && performance.now() - lastMs < silenceMsMax; ) {
      const left = await count();
      if (left === 0) return;
      if (left < fewest) lastMs = performance.now();
      fewest = Math.min(fewest, left);
      await pause(200, undefined, { signal: ended });
    }
  }

  const ids = await selectHookedIds(sql);
  const untaken = () => {
    const taken = new Set(hooks.requests.flatMap(({ id, answer }) => (answer === 'taken' ? id : [])));
    return ids.filter((id) => !taken.has(id));
  };
  await untilNone(() => countUnmade(sql, untaken()));
  hooks.overdue.push(...(await selectOverdue(sql)));
  hooks.repair = { atMs: Date.now(), replayed: 0 };
  receiver.send({ kind: 'repair' });
  await untilNone(async () => untaken().length);
}

async function selectHookedIds(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT task_id || ':' || sequence AS id FROM task_event WHERE type = ANY(${hookTypes}) AND kind::text = ANY(${hookKinds})`;
  return rows.map(({ id }) => id);
}

async function countUnmade(sql: postgres.Sql, ids: readonly string[]): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    SELECT count(*)::int FROM unnest(${ids}::text[]) AS wanted(id)
    WHERE NOT EXISTS (SELECT FROM webhook_delivery WHERE event_id = wanted.id)`;
  return row?.count ?? 0;
}

/** A machine may be this slow with an attempt and what becomes of it. */
const slackMs = limits.webhookDeliveryMsMax + 15_000;

/** What nobody would try again within the time that its attempts allow, or was given up too soon. */
async function selectOverdue(sql: postgres.Sql): Promise<string[]> {
  const { initialDelayMs, multiplier, attemptsMax } = webhookRetry;
  const rows = await sql<{ what: string }[]>`
    SELECT format('%s is %s until %s after %s attempts, the last at %s', event_id, state, due_time, attempts, last_attempt_time)
      AS what
    FROM webhook_delivery
    WHERE state = 'DEAD_LETTER' AND attempts < ${attemptsMax} OR state = 'PENDING' AND
      due_time > COALESCE(last_attempt_time, create_time) + interval '1 millisecond' * (
        ${slackMs}::float8 + GREATEST(${limits.webhookLeaseMs}::float8, ${initialDelayMs}::float8 * ${multiplier}::float8 ^ attempts)
      )`;
  return rows.map(({ what }) => what);
}
