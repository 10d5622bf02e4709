import type postgres from 'postgres';
import { limits } from '../../server/domain/limits.ts';
import { takeoverMsMax } from './calm.ts';
import { causeOfLoss, certain, isCoordinatorLost, wasStarved } from './loss-cause.ts';
import type { Property, Violation } from './property.ts';
import { type Calm, type StormRecord, starvedMs, stormName } from './record.ts';
import { postgresName } from './storm-postgres.ts';

interface Loss {
  readonly taskId: string;
  readonly sessionId: string;
  readonly at: Date;
}

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
    const cause = worker === undefined ? 'zombies and guests' : causeOfLoss(record, worker, at.getTime());
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
  // The coordinator of the worker must hear that it is gone; then whichever has the time takes the leases back.
  const allowedMs = (ms: number) => {
    const parts = [killed.node, stormName, postgresName];
    const starved = record.nodes.map(({ name }) =>
      starvedMs(record, [...new Set([...parts, name])], killed.atMs, killed.atMs + ms),
    );
    return redispatchMsMax + Math.min(...starved);
  };
  const returns = lostNode.workers.map((worker) => {
    const entry = record.sessions.find((session) => session.worker === worker && session.atMs > lostNode.atMs);
    const ms = (entry?.atMs ?? Number.POSITIVE_INFINITY) - lostNode.atMs;
    // It may have tried any of the others before.
    const others = record.nodes.filter(({ name }) => name !== lostNode.node).map(({ name }) => name);
    const names = [worker, stormName, postgresName, ...others];
    return { worker, ms, msMax: takeoverMsMax + starvedMs(record, names, lostNode.atMs, lostNode.atMs + ms) };
  });
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
      violations: lateMs.filter((ms) => ms > allowedMs(ms)).map((ms) => ({ text: `after ${ms} ms` })),
      samples: lateMs.length,
      samplesMin: 1,
      figure: `after ${Math.max(0, ...lateMs)} ms at most, of ${redispatchMsMax}`,
    },
    {
      name: 'in calm, workers of a killed coordinator are back within 5 s',
      violations: returns
        .filter(({ ms, msMax }) => ms > msMax)
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
