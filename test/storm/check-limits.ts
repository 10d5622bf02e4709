import type postgres from 'postgres';
import { concurrency, type PlanType, rate } from './plan.ts';
import type { Property, Violation } from './property.ts';

interface Lease {
  readonly taskId: string;
  readonly key: string;
  readonly leasedMs: number;
  /** From here to there it was surely held. */
  readonly startedMs: number | null;
  readonly endedMs: number;
}

/** What may run at a time and be leased in a time, over all coordinators, held against the histories. */
export async function checkLimits(sql: postgres.Sql): Promise<Property[]> {
  return [
    checkConcurrency(await selectLeases(sql, 'storm.limited')),
    checkRate(await selectLeases(sql, 'storm.steered')),
  ];
}

function selectLeases(sql: postgres.Sql, type: PlanType): Promise<Lease[]> {
  return sql<Lease[]>`
    SELECT task_id AS "taskId", (array_agg(limit_key))[1] AS key,
      extract(epoch FROM min(time))::float8 * 1000 AS "leasedMs",
      extract(epoch FROM min(time) FILTER (WHERE kind = 'started'))::float8 * 1000 AS "startedMs",
      COALESCE(extract(epoch FROM min(time) FILTER (WHERE e.state <> 'RUNNING'))::float8 * 1000, 'Infinity') AS "endedMs"
    FROM task_event AS e JOIN task ON task.id = task_id
    WHERE task.type = ${type} AND e.lease_id IS NOT NULL
    GROUP BY task_id, e.lease_id ORDER BY min(time)`;
}

/**
 * An event has the time at which its transaction began. What was accepted was committed before, and what ends a lease is
 * not committed yet, so that between the two it was held whatever overlaps; what was never accepted says nothing.
 */
function checkConcurrency(leases: readonly Lease[]): Property {
  const { concurrencyMax, concurrencyPerKeyMax } = concurrency;
  const held = leases.flatMap(({ startedMs, ...lease }) =>
    startedMs === null || startedMs >= lease.endedMs ? [] : { ...lease, startedMs },
  );
  const violations: Violation[] = [];
  const full = { all: 0, ofKey: 0 };
  for (const { taskId, key, startedMs } of held) {
    const live = held.filter((other) => other.startedMs <= startedMs && other.endedMs > startedMs);
    const ofKey = live.filter((other) => other.key === key).length;
    if (live.length === concurrencyMax) full.all += 1;
    if (ofKey === concurrencyPerKeyMax) full.ofKey += 1;
    if (live.length <= concurrencyMax && ofKey <= concurrencyPerKeyMax) continue;
    const text = `${taskId}: ran as one of ${live.length}, and of ${ofKey} with the key ${key}`;
    violations.push({ text: `${text}, at ${new Date(startedMs).toISOString()}`, taskId });
  }
  const figure = `${concurrencyMax} ran ${full.all} times, and ${concurrencyPerKeyMax} of one key ${full.ofKey} times`;
  const samples = Math.min(full.all, full.ofKey);
  return { name: 'no more run than may at a time', violations, samples, samplesMin: 5, figure };
}

/** Claims of a stopped coordinator may have begun before others and go on after them. */
const overlapMs = 1_000;

function checkRate(leases: readonly Lease[]): Property {
  const { tasks, burst } = rate;
  const violations: Violation[] = [];
  let samples = 0;
  leases.forEach(({ taskId, leasedMs }, first) => {
    for (let last = first; last < leases.length; last += 1) {
      const withinMs = (leases[last]?.leasedMs ?? leasedMs) - leasedMs;
      const count = last - first + 1;
      const allowed = burst + (tasks * withinMs) / 1_000;
      // As many as at any time, though not the first burst.
      if (last - first === burst && count > 0.7 * allowed) samples += 1;
      // A claim that was held up in the middle spends tokens of later on.
      if (count > allowed + burst + (tasks * overlapMs) / 1_000) {
        violations.push({ text: `${taskId}: the first of ${count} that were leased within ${withinMs} ms`, taskId });
        return;
      }
    }
  });
  const figure = `${tasks} a second, ${burst} at once; seen is how often it came near`;
  return { name: 'no more are leased than may in a time', violations, samples, samplesMin: 5, figure };
}
