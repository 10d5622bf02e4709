import { limits } from '../../server/domain/limits.ts';
import { isOfNats, revocation } from './faults.ts';
import { backName, frontName } from './nodes.ts';
import { type StormRecord, starvedMs, stormName } from './record.ts';
import { postgresName } from './storm-postgres.ts';

/** A fault is felt for this long after it was made good: a lease, and what it takes to connect and to sweep. */
const aftermathMs = 15_000;

/** The cause of a loss that must not be. */
export const certain = 'nothing, or with coordinators killed or terminated alone';

/** What an attempt was lost with, of a worker that nobody told to give it up. */
export function causeOfLoss(record: StormRecord, worker: string, atMs: number): string {
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
  return !isCoordinatorLost(kind) && !kind.endsWith(' a worker') && !isOfNats(kind) && kind !== revocation;
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
export function wasStarved(record: StormRecord, worker: string, atMs: number): boolean {
  const names = [worker, stormName, postgresName, ...nodesOf(record, worker, atMs)];
  return starvedMs(record, names, atMs - sessionMs, atMs) > limits.leaseMsDefault / 4;
}

export function isCoordinatorLost(kind: string): boolean {
  return kind === 'kill a coordinator' || kind === 'terminate a coordinator';
}
