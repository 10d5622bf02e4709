import { closeSync, openSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeTestCertificate } from '../setup/certificate.ts';
import { freePort } from '../setup/free-port.ts';
import { startTestIdentityProvider } from '../setup/identity-provider.ts';
import { startTestNats, type TestNats, testNatsProgram } from '../setup/nats.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { applyTypes } from './apply-types.ts';
import { type BugName, plantBug } from './bugs.ts';
import { createEnlist, type Hand } from './enlist.ts';
import { unpublishedEvents } from './events-at-start.ts';
import type { Member } from './member.ts';
import { createNodes, type Node, type Way } from './nodes.ts';
import { createRandom } from './random.ts';
import { type StormRecord, stormName } from './record.ts';
import { watchStarvation } from './starvation.ts';
import { type StormPolicy, writeStormPolicy } from './storm-policy.ts';
import { postgresName, type StormPostgres, startStormPostgres } from './storm-postgres.ts';
import { watchPostgres } from './watch-postgres.ts';

/** Something that a fault can hit; one fault at a time. */
export interface Target {
  readonly name: string;
  isHit: boolean;
}

/** Everything that a storm rages over. */
export interface World {
  readonly postgres: StormPostgres & Target;
  /** Undefined on a machine without one. */
  readonly nats: (TestNats & Target) | undefined;
  readonly nodes: readonly Node[];
  readonly fronts: readonly Way[];
  readonly backs: readonly Way[];
  readonly buses: readonly Way[];
  readonly workers: readonly Hand[];
  readonly guests: readonly Hand[];
  readonly submitters: readonly Member[];
  readonly operator: Member;
  /** Of webhooks. */
  readonly receiver: Member;
  readonly policy: StormPolicy;
  /** What this run is like before any fault. */
  readonly clock: string;
  readonly natsVersion: string;
  /** Where the coordinators write what they log. */
  readonly logFile: string;
  readonly stop: () => Promise<void>;
}

const counts = { nodes: 3, workers: 6, 'unary-worker': 2, zombies: 2, guests: 3, submitters: 4 };
const natsName = 'NATS';
const program = fileURLToPath(new URL('../../server/main.ts', import.meta.url));
/** Of the tokens of everyone but guests: they outlive a clock that is an hour ahead. */
const tokenSeconds = 3 * 3_600;

export interface WorldOptions {
  readonly seed: number;
  readonly bug: BugName | undefined;
}

export async function startWorld(options: WorldOptions, record: StormRecord, interrupted: AbortSignal): Promise<World> {
  const undo: (() => unknown)[] = [];
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    return { ...(await build(options, record, interrupted, undo)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function build(
  options: WorldOptions,
  record: StormRecord,
  interrupted: AbortSignal,
  undo: (() => unknown)[],
): Promise<Omit<World, 'stop'>> {
  const directory = await temporaryDirectory();
  undo.push(() => rm(directory, { recursive: true, force: true }));
  const identity = await startTestIdentityProvider({ accessTokenSeconds: tokenSeconds });
  undo.push(() => identity.stop());
  const postgres = await startStormPostgres(directory);
  undo.push(() => postgres.stop());
  const nats = await natsOf(undo);
  record.hasNats = nats !== undefined;
  const logFile = join(directory, 'coordinators.log');
  const log = openSync(logFile, 'a');
  undo.push(() => closeSync(log));
  const certificates = join(directory, 'certificates');
  await mkdir(certificates);
  const certificate = await writeTestCertificate(certificates);
  const guestNames = names('guest', counts.guests);
  const policy = await writeStormPolicy(directory, guestNames);

  const random = createRandom(options.seed ^ 0x5eed);
  const wrongClock = { node: Math.floor(random.next() * counts.nodes), ms: random.pick([-1, 1]) * 3_600_000 };
  const { nodes, fronts, backs, buses } = await createNodes(
    {
      ...{
        count: counts.nodes,
        wrongClock,
        directory,
        postgres,
        nats,
        issuer: identity.issuer,
        policyFile: policy.file,
      },
      ...{ certificate, log, interrupted },
      program: options.bug === undefined ? program : await plantBug(directory, options.bug),
      onDeath: (name, how) => record.accidents.push(`${name} ended by itself with ${how}`),
      onStall: (name, stall) => record.stalls.push({ ...stall, name }),
    },
    undo,
  );
  record.nodes.push(...nodes.map(({ name, frontAddress }) => ({ name, address: frontAddress })));
  undo.push(watchStarvation((stall) => record.stalls.push({ ...stall, name: stormName }), { countsOwn: true }));
  undo.push(watchPostgres(postgres.url, (stall) => record.stalls.push({ ...stall, name: postgresName })));
  for (const node of nodes) await node.process.start();
  if (nats !== undefined)
    for (const id of await unpublishedEvents(postgres.url, interrupted)) record.unpublished.add(id);
  await applyTypes(identity, nodes[0]?.address.grpc, certificate.certificate);

  const enlist = createEnlist(
    { identity, nodes, natsUrl: nats?.url, ca: certificate.certificate, hookPort: await freePort(), random, record },
    undo,
  );
  if (nats !== undefined) enlist(['witness'], 'witness.ts', 'worker');
  enlist(['subscriber'], 'subscriber.ts', 'operator');
  const workers = [
    ...enlist(names('worker', counts.workers), 'worker.ts', 'worker'),
    ...enlist(names('unary-worker', counts['unary-worker']), 'unary-worker.ts', 'worker'),
  ];
  enlist(names('zombie', counts.zombies), 'zombie.ts', 'worker');
  const guests = enlist(guestNames, 'guest.ts', 'worker');
  const submitters = enlist(names('submitter', counts.submitters), 'submitter.ts', 'producer');
  const [operator] = enlist(['operator'], 'operator.ts', 'operator');
  const [receiver] = enlist(['receiver'], 'receiver.ts', 'operator');
  if (operator === undefined || receiver === undefined) throw new Error('there is no operator, or no receiver');
  return {
    ...{ nats, nodes, fronts, backs, buses, workers, guests, policy, logFile },
    submitters: submitters.map(({ process }) => process),
    operator: operator.process,
    receiver: receiver.process,
    postgres: { ...postgres, name: postgresName, isHit: false },
    natsVersion: nats === undefined ? 'no nats-server here: without NATS' : `nats-server ${nats.program.version}`,
    clock: `the clock of node-${wrongClock.node + 1} is an hour ${wrongClock.ms < 0 ? 'behind' : 'ahead'}`,
  };
}

async function natsOf(undo: (() => unknown)[]): Promise<World['nats']> {
  const found = await testNatsProgram();
  if (found === undefined) return undefined;
  const nats = await startTestNats({ program: found });
  undo.push(() => nats.stop());
  return { ...nats, name: natsName, isHit: false };
}

function names(kind: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${kind}-${index + 1}`);
}
