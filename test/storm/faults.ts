import { setTimeout as pause } from 'node:timers/promises';
import postgres from 'postgres';
import type { Node } from './nodes.ts';
import type { Random } from './random.ts';
import { type FaultEntry, type StormRecord, starvedMs, stormName } from './record.ts';
import { postgresName } from './storm-postgres.ts';
import type { Target, World } from './world.ts';

export interface FaultDeps {
  readonly world: World;
  readonly record: StormRecord;
  /** Heals and ends what is under way. */
  readonly interrupted: AbortSignal;
}

/** A fault that has a target: what it does to it, for how long, and how that is made good. */
interface Strike {
  readonly target: Target;
  readonly ms: number;
  readonly begin: (record: StormRecord) => unknown;
  readonly heal: () => unknown;
}

/** What is done to a guest, which has done nothing wrong. */
export const revocation = 'take the right to work away';

/** NATS comes back without its store. */
const storeLoss = 'lose the store of NATS';

type Plan = (world: World, random: Random, record: StormRecord) => Strike | undefined;

const faults = {
  'kill a coordinator': (world, random) =>
    strike(world.nodes, random, [200, 3_000], ({ process }) => ({
      begin: () => process.end('SIGKILL'),
      heal: () => process.start(),
    })),
  'terminate a coordinator': (world, random) =>
    strike(world.nodes, random, [200, 2_000], (node) => ({
      begin: (record) => endInOrder(record, node),
      heal: () => node.process.start(),
    })),
  'pause a coordinator': (world, random) =>
    strike(world.nodes, random, [2_000, 12_000], ({ process }) => ({
      begin: () => process.signal('SIGSTOP'),
      heal: () => process.signal('SIGCONT'),
    })),
  'kill a worker': (world, random) =>
    strike(world.workers, random, [200, 3_000], ({ process }) => ({
      begin: () => process.end('SIGKILL'),
      heal: () => process.start(),
    })),
  'terminate a worker': (world, random) =>
    strike(world.workers, random, [200, 1_000], ({ process }) => ({
      begin: () => process.end('SIGTERM'),
      heal: () => process.start(),
    })),
  'pause a worker': (world, random) =>
    strike(world.workers, random, [4_000, 22_000], ({ process }) => ({
      begin: () => process.signal('SIGSTOP'),
      heal: () => process.signal('SIGCONT'),
    })),
  'crash Postgres': (world, random) =>
    strike([world.postgres], random, [500, 6_000], (target) => ({
      begin: () => target.crash(),
      heal: () => target.start(),
    })),
  'terminate backends': (world, random) =>
    strike([world.postgres], random, [0, 0], ({ url }) => ({
      begin: () => terminateBackends(url, random.between(0.2, 0.8)),
      heal: () => undefined,
    })),
  'cut the clients off': (world, random) => disturb(world.fronts, random, [0, 0], 'cut'),
  'leave the clients half open': (world, random) => disturb(world.fronts, random, [0, 0], 'halve'),
  'block the clients': (world, random) => disturb(world.fronts, random, [2_000, 12_000], 'block'),
  'delay the clients': (world, random) => disturb(world.fronts, random, [3_000, 8_000], 'delay'),
  'cut Postgres off': (world, random) => disturb(world.backs, random, [0, 0], 'cut'),
  'leave Postgres half open': (world, random) => disturb(world.backs, random, [0, 0], 'halve'),
  'block Postgres': (world, random) => disturb(world.backs, random, [1_000, 10_000], 'block'),
  'kill NATS': ({ nats }, random) =>
    strike(nats === undefined ? [] : [nats], random, [500, 6_000], (target) => ({
      begin: () => target.kill(),
      heal: () => target.restart(),
    })),
  [storeLoss]: ({ nats }, random, record) =>
    strike(nats === undefined || !mayLoseStore(record) ? [] : [nats], random, [500, 3_000], (target) => ({
      begin: () => target.kill(),
      heal: () => target.restart('emptied'),
    })),
  'cut NATS off': (world, random) => disturb(world.buses, random, [0, 0], 'cut'),
  'leave NATS half open': (world, random) => disturb(world.buses, random, [0, 0], 'halve'),
  'block NATS': (world, random) => disturb(world.buses, random, [1_000, 10_000], 'block'),
  [revocation]: ({ guests, policy }, random, record) =>
    strike(
      guests.filter(({ name }) => isServed(record, name)),
      random,
      [4_000, 7_000],
      ({ name }) => ({
        begin: () => policy.admit(name, false),
        heal: () => policy.admit(name, true),
      }),
    ),
} satisfies { readonly [kind: string]: Plan };

export type FaultKind = keyof typeof faults;

/** Those that can strike: not what would hit NATS where there is none. */
export function faultKindsOf({ hasNats }: StormRecord): readonly FaultKind[] {
  const kinds = Object.keys(faults) as FaultKind[];
  return hasNats ? kinds : kinds.filter((kind) => !isOfNats(kind));
}

export function isOfNats(kind: string): boolean {
  return kind.includes('NATS');
}

/** Strikes once, if anything of the kind stands upright; the result resolves when it is made good. */
export function strikeOnce(deps: FaultDeps, random: Random, kind: FaultKind): Promise<void> | undefined {
  const chosen = (faults[kind] as Plan)(deps.world, random, deps.record);
  return chosen && suffer(deps, kind, chosen);
}

async function suffer({ record, interrupted }: FaultDeps, kind: FaultKind, chosen: Strike): Promise<void> {
  const { target, ms, begin, heal } = chosen;
  const never = Number.POSITIVE_INFINITY;
  const entry: FaultEntry = { kind, target: target.name, fromMs: Date.now(), healMs: never, toMs: never };
  record.faults.push(entry);
  target.isHit = true;
  const attempt = async (step: () => unknown) => {
    try {
      await step();
    } catch (error) {
      if (!interrupted.aborted) record.accidents.push(`${kind} (${target.name}): ${error}`);
    }
  };
  await attempt(() => begin(record));
  await pause(ms, undefined, { signal: interrupted }).catch(() => undefined);
  entry.healMs = Date.now();
  if (!interrupted.aborted) await attempt(heal);
  entry.toMs = Date.now();
  target.isHit = false;
}

function strike<Hit extends Target>(
  targets: readonly Hit[],
  random: Random,
  [msMin, msMax]: readonly [number, number],
  act: (target: Hit) => Pick<Strike, 'begin' | 'heal'>,
): Strike | undefined {
  const upright = targets.filter(({ isHit }) => !isHit);
  // As many numbers are drawn either way, so that a seed says the same whatever was hit at the time.
  const [place, ms] = [random.next(), Math.round(random.between(msMin, msMax))];
  const target = upright[Math.floor(place * upright.length)];
  return target && { target, ms, ...act(target) };
}

function disturb(
  ways: World['fronts'],
  random: Random,
  range: readonly [number, number],
  how: 'cut' | 'halve' | 'block' | 'delay',
): Strike | undefined {
  const delayMs = Math.round(random.between(50, 500));
  return strike(ways, random, range, ({ proxy }) => ({
    begin: () => (how === 'delay' ? proxy.delay(delayMs) : proxy[how]()),
    heal: () => proxy.heal(),
  }));
}

/** It would not notice otherwise that it has lost the right. */
function isServed({ served }: StormRecord, name: string): boolean {
  return served.some(({ guest, atMs }) => guest === name && Date.now() - atMs < 3_000);
}

/** All of it is published once more, which must be over before the storm is. */
const lostEventsMax = 300_000;

/** Once: what is published anew hides that something was missing before. */
function mayLoseStore({ onStream, faults }: StormRecord): boolean {
  const isLong = [...onStream.values()].some(({ first }) => first > lostEventsMax);
  return !isLong && !faults.some(({ kind }) => kind === storeLoss);
}

const drainMsMax = 10_000;

/** A coordinator that is asked to stop hands its work over in time, whatever else goes on. */
export async function endInOrder(record: StormRecord, { name, process }: Node): Promise<void> {
  const [askedMs, askedAtMs] = [performance.now(), Date.now()];
  const how = await process.end('SIGTERM');
  const tookMs = Math.round(performance.now() - askedMs);
  const starved = starvedMs(record, [name, stormName, postgresName], askedAtMs, Date.now());
  // Of one that was not given half of the time nothing can be said.
  const isLate = tookMs > drainMsMax + starved && starved < tookMs / 2;
  if (how !== 0 || isLate) throw new Error(`ended with ${how} after ${tookMs} ms, ${Math.round(starved)} ms starved`);
}

async function terminateBackends(url: string, share: number): Promise<void> {
  const sql = postgres(url, { max: 1, connection: { application_name: 'storm' } });
  try {
    await sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE application_name LIKE 'dstc%' AND random() < ${share}`;
  } finally {
    await sql.end();
  }
}
