import { setTimeout as pause } from 'node:timers/promises';
import postgres from 'postgres';
import { limits } from '../../server/domain/limits.ts';
import { endInOrder } from './faults.ts';
import type { Node } from './nodes.ts';
import type { SessionEntry, StormRecord } from './record.ts';
import type { Hand, World } from './world.ts';

/** What workers need to be back after a coordinator was lost, at most. */
export const takeoverMsMax = 5_000;

/** When the storm is over and the load goes on: one fault at a time, for the figures that are promised. */
export async function measureInCalm(world: World, record: StormRecord, interrupted: AbortSignal): Promise<void> {
  const rest = (ms: number) => pause(ms, undefined, { signal: interrupted });
  // What the storm broke off is over by then.
  await rest(limits.leaseMsDefault + 2_000);

  const { worker, sessionId } = await busyWorker(world, record, rest);
  const killed = { worker: worker.name, sessionId, atMs: Date.now() };
  await worker.process.end('SIGKILL');
  await rest(limits.leaseMsDefault + 3_000);
  worker.process.start();

  const restartsFromMs = Date.now();
  for (const node of world.nodes) {
    await endInOrder(record, node).catch((error: unknown) => record.accidents.push(`${node.name}, in calm: ${error}`));
    await node.process.start();
  }
  await rest(2_000);

  const lost = busiest(world, record);
  const workers = lastSessions(record).filter(({ address }) => address === lost.frontAddress);
  const lostNode = { node: lost.name, atMs: Date.now(), workers: workers.map((entry) => entry.worker) };
  await lost.process.end('SIGKILL');
  await rest(takeoverMsMax + 1_000);
  await lost.process.start();
  record.calm = { killed, restartsFromMs, lostNode, toMs: Date.now() };
}

/** Who has most to lose, with a coordinator whose clock is wrong if that has workers: its sessions must end like any other. */
async function busyWorker(
  { nodes, workers, postgres: database }: World,
  record: StormRecord,
  rest: (ms: number) => Promise<void>,
): Promise<{ readonly worker: Hand; readonly sessionId: string }> {
  const wrong = nodes.find(({ address }) => !address.hasRightClock)?.frontAddress;
  const sql = postgres(database.url, { max: 1 });
  try {
    for (;;) {
      const busy = await sql<{ sessionId: string }[]>`
        SELECT session_id AS "sessionId" FROM task
        WHERE state = 'RUNNING' AND type IN ('storm.slow', 'storm.long') AND started_time IS NOT NULL
        GROUP BY session_id ORDER BY count(*) DESC`;
      const last = lastSessions(record).filter(({ address }) => address !== '');
      const found = busy.flatMap(({ sessionId }) => last.filter((entry) => entry.sessionId === sessionId));
      const chosen = found.find(({ address }) => address === wrong) ?? found[0];
      const worker = workers.find(({ name }) => name === chosen?.worker);
      if (chosen !== undefined && worker !== undefined) return { worker, sessionId: chosen.sessionId };
      await rest(200);
    }
  } finally {
    await sql.end();
  }
}

function lastSessions({ sessions }: StormRecord): SessionEntry[] {
  return [...new Map(sessions.map((entry) => [entry.worker, entry])).values()];
}

/** The coordinator with the most workers. */
function busiest({ nodes }: World, record: StormRecord): Node {
  const sessions = lastSessions(record);
  const count = (node: Node) => sessions.filter(({ address }) => address === node.frontAddress).length;
  const [first] = nodes.toSorted((one, other) => count(other) - count(one));
  if (first === undefined) throw new Error('there is no coordinator');
  return first;
}
