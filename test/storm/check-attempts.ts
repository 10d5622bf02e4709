import type postgres from 'postgres';
import type { Property } from './property.ts';
import type { StormRecord } from './record.ts';

interface Loss {
  readonly taskId: string;
  readonly sessionId: string;
  readonly at: Date;
}

/** A fault is felt for this long after it was made good: a lease, and what it takes to connect and to sweep. */
const aftermathMs = 15_000;

/**
 * Attempts that were lost with a worker that nothing had happened to. They are violations where only the process of a
 * coordinator was hit at the time, by a kill or a termination: what a worker does about that takes less than a lease.
 */
export async function checkAttempts(sql: postgres.Sql, record: StormRecord): Promise<Property[]> {
  const losses = await sql<Loss[]>`
    SELECT task_id AS "taskId", session_id AS "sessionId", time AS at FROM task_event
    WHERE kind IN ('lease_lost', 'failed') AND error->>'code' = 'WORKER_LOST'`;
  const violations: string[] = [];
  const byCause = new Map<string, number>();
  for (const { taskId, sessionId, at } of losses) {
    const worker = record.sessions.get(sessionId);
    const cause = worker === undefined ? 'a zombie' : causeOf(record, worker, at.getTime());
    byCause.set(cause, (byCause.get(cause) ?? 0) + 1);
    if (cause === certain) violations.push(`${taskId}: ${worker} lost it at ${at.toISOString()}`);
  }
  console.log('attempts lost, by what was hit at the time:');
  for (const [cause, count] of [...byCause].sort(([, a], [, b]) => b - a)) {
    console.log(`${String(count).padStart(6)}  ${cause}`);
  }
  const hits = record.faults.filter(({ kind }) => isCoordinatorLost(kind)).length;
  return [
    { name: 'killed and stopped coordinators cost no attempt', violations, samples: hits, samplesMin: 2 },
    { name: 'attempts lost with their workers', violations: [], samples: losses.length, samplesMin: 1 },
  ];
}

const certain = 'coordinators killed or terminated alone';

function causeOf(record: StormRecord, worker: string, atMs: number): string {
  const felt = record.faults.filter(({ fromMs, toMs }) => fromMs <= atMs && toMs + aftermathMs >= atMs);
  if (felt.some(({ target }) => target === worker)) return 'its worker';
  const kinds = [...new Set(felt.map(({ kind }) => kind))].filter((kind) => !kind.endsWith(' a worker')).sort();
  if (kinds.every(isCoordinatorLost)) return certain;
  return kinds.filter((kind) => !isCoordinatorLost(kind)).join(', ');
}

function isCoordinatorLost(kind: string): boolean {
  return kind === 'kill a coordinator' || kind === 'terminate a coordinator';
}
