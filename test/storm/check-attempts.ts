import type postgres from 'postgres';
import { limits } from '../../server/domain/limits.ts';
import { takeoverMsMax } from './calm.ts';
import { revocation } from './faults.ts';
import type { Property, Violation } from './property.ts';
import { type Calm, type StormRecord, starvedMs } from './record.ts';

interface Loss {
  readonly taskId: string;
  readonly sessionId: string;
  readonly at: Date;
}

/** A fault is felt for this long after it was made good: a lease, and what it takes to connect and to sweep. */
const aftermathMs = 15_000;
/** A lease is with the queue again this long after its worker died, at most. */
const redispatchMsMax = limits.leaseMsDefault + 1_000;

/**
 * Attempts that were lost with a worker that nothing had happened to. They are violations where nothing, or only the
 * process of a coordinator, was hit at the time by a kill or a termination: what a worker does about that takes less than
 * a lease.
 */
export async function checkAttempts(sql: postgres.Sql, record: StormRecord): Promise<Property[]> {
  const losses = await sql<Loss[]>`
    SELECT task_id AS "taskId", session_id AS "sessionId", time AS at FROM task_event
    WHERE kind IN ('lease_lost', 'failed') AND error->>'code' = 'WORKER_LOST'`;
  const violations: Violation[] = [];
  const byCause = new Map<string, number>();
  for (const { taskId, sessionId, at } of losses) {
    const worker = record.workerOfSession.get(sessionId);
    const cause = worker === undefined ? 'zombies and guests' : causeOf(record, worker, at.getTime());
    byCause.set(cause, (byCause.get(cause) ?? 0) + 1);
    if (cause === certain) violations.push({ text: `${taskId}: ${worker} lost it at ${at.toISOString()}`, taskId });
  }
  const causes = [...byCause].sort(([, a], [, b]) => b - a);
  return [
    {
      name: 'killed and stopped coordinators cost no attempt',
      violations,
      samples: record.faults.filter(({ kind }) => isCoordinatorLost(kind)).length,
      samplesMin: 2,
      figure: `${losses.length} lost: ${causes.map(([cause, count]) => `${count} with ${cause}`).join('; ')}`,
    },
    ...(record.calm === undefined ? [] : inCalm(record, record.calm, losses)),
  ];
}

function inCalm(record: StormRecord, calm: Calm, losses: readonly Loss[]): Property[] {
  const { killed, restartsFromMs, lostNode, toMs } = calm;
  const lateMs = losses
    .filter(({ sessionId }) => sessionId === killed.sessionId)
    .map(({ at }) => at.getTime() - killed.atMs);
  const nodes = [...new Set(record.stalls.map(({ name }) => name))].filter((name) => name.startsWith('node-'));
  const allowedMs = redispatchMsMax + starvedMs(record, nodes, killed.atMs, killed.atMs + redispatchMsMax);
  const returns = lostNode.workers.map((worker) => {
    const entry = record.sessions.find((session) => session.worker === worker && session.atMs > lostNode.atMs);
    return { worker, ms: (entry?.atMs ?? Number.POSITIVE_INFINITY) - lostNode.atMs };
  });
  const returnMs = (worker: string) =>
    takeoverMsMax + starvedMs(record, [worker, ...nodes], lostNode.atMs, lostNode.atMs + takeoverMsMax);
  const burnt = losses.filter(
    ({ at, sessionId }) =>
      at.getTime() >= restartsFromMs &&
      at.getTime() <= toMs + limits.leaseMsDefault &&
      record.workerOfSession.has(sessionId) &&
      sessionId !== killed.sessionId &&
      !wasStarved(record, record.workerOfSession.get(sessionId) ?? '', at.getTime()),
  );
  return [
    {
      name: 'in calm, leases of a killed worker are back within a lease and a second',
      violations: lateMs.filter((ms) => ms > allowedMs).map((ms) => ({ text: `after ${ms} ms` })),
      samples: lateMs.length,
      samplesMin: 1,
      figure: `after ${Math.max(0, ...lateMs)} ms at most, of ${redispatchMsMax}`,
    },
    {
      name: 'in calm, workers of a killed coordinator are back within 5 s',
      violations: returns
        .filter(({ worker, ms }) => ms > returnMs(worker))
        .map(({ worker, ms }) => ({ text: `${worker} after ${ms} ms` })),
      samples: returns.length,
      samplesMin: 1,
      figure: `after ${Math.max(0, ...returns.map(({ ms }) => ms))} ms at most`,
    },
    {
      name: 'in calm, restarts of all coordinators and the loss of one cost no attempt',
      violations: burnt.map(({ taskId, at }) => ({ text: `${taskId} at ${at.toISOString()}`, taskId })),
      samples: 1,
      samplesMin: 1,
      figure: `${burnt.length} attempts`,
    },
  ];
}

const certain = 'nothing, or with coordinators killed or terminated alone';

function causeOf(record: StormRecord, worker: string, atMs: number): string {
  if (record.calm?.killed.worker === worker && atMs >= record.calm.killed.atMs) {
    if (atMs <= record.calm.killed.atMs + aftermathMs) return 'their worker';
  }
  const felt = record.faults.filter(({ fromMs, toMs }) => fromMs <= atMs && toMs + aftermathMs >= atMs);
  if (felt.some(({ target }) => target === worker)) return 'their worker';
  if (wasStarved(record, worker, atMs)) return 'a machine that had no time';
  const kinds = [...new Set(felt.map(({ kind }) => kind))]
    .filter((kind) => !kind.endsWith(' a worker') && kind !== revocation)
    .sort();
  if (kinds.every(isCoordinatorLost)) return certain;
  return kinds.filter((kind) => !isCoordinatorLost(kind)).join(', ');
}

/** A session lives for a lease without a sign of life; whoever could not run for a quarter of it may miss that. */
function wasStarved(record: StormRecord, worker: string, atMs: number): boolean {
  const names = new Set(record.stalls.map(({ name }) => name).filter((name) => name.startsWith('node-')));
  return [worker, ...names].some(
    (name) => starvedMs(record, [name], atMs - aftermathMs, atMs) > limits.leaseMsDefault / 4,
  );
}

function isCoordinatorLost(kind: string): boolean {
  return kind === 'kill a coordinator' || kind === 'terminate a coordinator';
}
