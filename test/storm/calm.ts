import { setTimeout as pause } from 'node:timers/promises';
import postgres from 'postgres';
import { limits } from '../../server/domain/limits.ts';
import type { Hand } from './enlist.ts';
import { endInOrder } from './faults.ts';
import type { Node } from './nodes.ts';
import type { SessionEntry, StormRecord } from './record.ts';
import type { World } from './world.ts';

/** What workers need to be back after a coordinator was lost, at most. */
export const takeoverMsMax = 5_000;

/** When the storm is over and the load goes on: one fault at a time, for the figures that are promised. */
export async function measureInCalm(world: World, record: StormRecord, interrupted: AbortSignal): Promise<void> {
  const rest = (ms: number) => pause(ms, undefined, { signal: interrupted });
  // What the storm broke off is over by then.
  await rest(limits.leaseMsDefault + 2_000);

  await populate(world, record, rest);
  const busy = await busyWorker(world, record, rest);
  if (busy === undefined) {
    record.accidents.push('in calm, no worker was given anything to do');
    return;
  }
  const { worker, sessionId, nodeName } = busy;
  const killed = { worker: worker.name, sessionId, node: nodeName, atMs: Date.now() };
  console.log(`in calm: kill ${worker.name}, which is with ${nodeName}`);
  await worker.process.end('SIGKILL');
  await rest(limits.leaseMsDefault + 3_000);
  worker.process.start();

  console.log('in calm: restart each coordinator in order');
  const restartsFromMs = Date.now();
  for (const node of world.nodes) {
    await endInOrder(record, node).catch((error: unknown) => record.accidents.push(`${node.name}, in calm: ${error}`));
    await node.process.start();
  }
  await rest(2_000);

  const lost = busiest(world, record);
  const workers = lastSessions(record).filter(({ address }) => address === lost.frontAddress);
  const lostNode = { node: lost.name, atMs: Date.now(), workers: workers.map((entry) => entry.worker) };
  console.log(`in calm: kill ${lost.name}`);
  await lost.process.end('SIGKILL');
  await rest(takeoverMsMax + 1_000);
  await lost.process.start();
  record.calm = { killed, restartsFromMs, lostNode, toMs: Date.now() };
}

/**
 * Brings a worker to the coordinator whose clock is wrong, as nothing else shows that sessions end there like any other:
 * workers that are cut off go to the next address.
 */
async function populate(world: World, record: StormRecord, rest: (ms: number) => Promise<void>): Promise<void> {
  const place = world.nodes.findIndex(({ address }) => !address.hasRightClock);
  const isThere = () => lastSessions(record).some(({ address }) => address === world.nodes[place]?.frontAddress);
  const others = world.nodes.length - 1;
  for (let tries = 0; tries < 3 * others && !isThere(); tries += 1) {
    // From the end, where there is none before.
    world.fronts.at(place - 1 - (tries % others))?.proxy.cut();
    for (let looks = 0; looks < 20 && !isThere(); looks += 1) await rest(250);
  }
}

const busyMsMax = 60_000;
const wrongClockMs = 45_000;
/** By then its coordinator has renewed a session that came from another one. */
const settledMs = limits.leaseMsDefault / 2;

/** Who has most to lose, with the coordinator whose clock is wrong if that has such workers. */
async function busyWorker(
  { nodes, workers, postgres: database }: World,
  record: StormRecord,
  rest: (ms: number) => Promise<void>,
): Promise<{ readonly worker: Hand; readonly sessionId: string; readonly nodeName: string } | undefined> {
  const wrong = nodes.find(({ address }) => !address.hasRightClock)?.frontAddress;
  const sql = postgres(database.url, { max: 1 });
  const sinceMs = performance.now();
  const elapsedMs = () => performance.now() - sinceMs;
  try {
    while (elapsedMs() < busyMsMax) {
      const busy = await sql<{ sessionId: string }[]>`
        SELECT session_id AS "sessionId" FROM task
        WHERE state = 'RUNNING' AND type IN ('storm.slow', 'storm.long') AND started_time IS NOT NULL
        GROUP BY session_id ORDER BY count(*) DESC`;
      const last = lastSessions(record).filter(({ address, atMs }) => address !== '' && Date.now() - atMs > settledMs);
      const found = busy.flatMap(({ sessionId }) => last.filter((entry) => entry.sessionId === sessionId));
      const chosen =
        found.find(({ address }) => address === wrong) ?? (elapsedMs() > wrongClockMs ? found[0] : undefined);
      const worker = workers.find(({ name }) => name === chosen?.worker);
      const nodeName = nodes.find(({ frontAddress }) => frontAddress === chosen?.address)?.name ?? '';
      if (chosen !== undefined && worker !== undefined) return { worker, sessionId: chosen.sessionId, nodeName };
      await rest(200);
    }
    return undefined;
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
