import type postgres from 'postgres';
import { limits } from '../../server/domain/limits.ts';
import { takeoverMsMax } from './calm.ts';
import { revocation } from './faults.ts';
import { backName, frontName } from './nodes.ts';
import type { Property, Violation } from './property.ts';
import { type Calm, type StormRecord, starvedMs } from './record.ts';
import { postgresName } from './storm-postgres.ts';

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
  // Whichever coordinator has the time takes the leases back.
  const sweptLateMs = record.nodes.map(({ name }) =>
    starvedMs(record, [name, postgresName], killed.atMs, killed.atMs + redispatchMsMax),
  );
  const allowedMs = redispatchMsMax + Math.min(...sweptLateMs);
  const returns = lostNode.workers.map((worker) => {
    const entry = record.sessions.find((session) => session.worker === worker && session.atMs > lostNode.atMs);
    const ms = (entry?.atMs ?? Number.POSITIVE_INFINITY) - lostNode.atMs;
    const through = record.nodes.filter(({ address }) => address === entry?.address).map(({ name }) => name);
    const names = [worker, postgresName, ...through];
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
      violations: lateMs.filter((ms) => ms > allowedMs).map((ms) => ({ text: `after ${ms} ms` })),
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

const certain = 'nothing, or with coordinators killed or terminated alone';

function causeOf(record: StormRecord, worker: string, atMs: number): string {
  if (record.calm?.killed.worker === worker && atMs >= record.calm.killed.atMs) {
    if (atMs <= record.calm.killed.atMs + aftermathMs) return 'their worker';
  }
  const felt = record.faults.filter(({ fromMs, toMs }) => fromMs <= atMs && toMs + aftermathMs >= atMs);
  if (felt.some(({ target }) => target === worker)) return 'their worker';
  // Where nothing of its own was hit, a worker had no reason to go anywhere else.
  const own = new Set([postgresName, ...nodesOf(record, worker, atMs).flatMap(partsOf)]);
  const kinds = felt.some(({ target }) => own.has(target)) ? felt.map(({ kind }) => kind).filter(mayCost) : [];
  if (kinds.length > 0) return [...new Set(kinds)].sort().join(', ');
  return wasStarved(record, worker, atMs) ? 'a machine that had no time' : certain;
}

/** Whether a fault may cost attempts of workers that it did not hit themselves. */
function mayCost(kind: string): boolean {
  return !isCoordinatorLost(kind) && !kind.endsWith(' a worker') && kind !== revocation;
}

/** The coordinators that a worker had to do with lately; any of them when it has no stream. */
function nodesOf({ nodes, sessions }: StormRecord, worker: string, atMs: number): string[] {
  const own = sessions.filter((entry) => entry.worker === worker);
  const lately = own.filter(
    (entry, index) => entry.atMs <= atMs && (own[index + 1]?.atMs ?? atMs) >= atMs - aftermathMs,
  );
  const addresses = new Set(lately.map(({ address }) => address));
  return nodes.filter(({ address }) => addresses.has(address) || addresses.has('')).map(({ name }) => name);
}

/** What a fault can hit of a coordinator. */
function partsOf(node: string): string[] {
  return [node, frontName(node), backName(node)];
}

/** From the last sign of life that counted to the sweep, if that was not late itself. */
const sessionMs = limits.leaseMsDefault + 2_000;

/**
 * A session lives for a lease after the last sign of life, of which two thirds are used up by the pings and renewals of
 * quiet times; whoever could not run for a quarter of it, all who had a part in it taken together, may miss the rest.
 */
function wasStarved(record: StormRecord, worker: string, atMs: number): boolean {
  const names = [worker, postgresName, ...nodesOf(record, worker, atMs)];
  return starvedMs(record, names, atMs - sessionMs, atMs) > limits.leaseMsDefault / 4;
}

function isCoordinatorLost(kind: string): boolean {
  return kind === 'kill a coordinator' || kind === 'terminate a coordinator';
}
