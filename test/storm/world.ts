import { closeSync, openSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { clientCredentials, createClient } from '@dstc/sdk';
import { type FaultProxy, startFaultProxy } from '../setup/fault-proxy.ts';
import { freePort } from '../setup/free-port.ts';
import { startTestIdentityProvider } from '../setup/identity-provider.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { plantBug } from './bugs.ts';
import { type StormCoordinator, stormCoordinator } from './coordinator.ts';
import { type Member, member } from './member.ts';
import type { Settings } from './messages.ts';
import type { StormOptions } from './options.ts';
import { hauntedRunMs, planTypes } from './plan.ts';
import { note, type StormRecord } from './record.ts';
import { type StormPostgres, startStormPostgres } from './storm-postgres.ts';

/** Something that a fault can hit; one fault at a time. */
export interface Target {
  readonly name: string;
  isHit: boolean;
}

export interface Node extends Target {
  readonly process: StormCoordinator;
}

export interface Way extends Target {
  readonly proxy: FaultProxy;
}

export interface Hand extends Target {
  readonly process: Member;
}

/** Everything that a storm rages over. */
export interface World {
  readonly postgres: StormPostgres & Target;
  readonly nodes: readonly Node[];
  /** From the SDKs to each coordinator. */
  readonly fronts: readonly Way[];
  /** From each coordinator to Postgres. */
  readonly backs: readonly Way[];
  readonly workers: readonly Hand[];
  readonly submitters: readonly Member[];
  /** Where the coordinators write what they log. */
  readonly logFile: string;
  readonly stop: () => Promise<void>;
}

const counts = { nodes: 3, workers: 6, zombies: 2, submitters: 3 };
const policyFile = fileURLToPath(new URL('../../server/embedded/policy.yaml', import.meta.url));
const program = fileURLToPath(new URL('../../server/main.ts', import.meta.url));

export async function startWorld(options: StormOptions, record: StormRecord, interrupted: AbortSignal): Promise<World> {
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
  options: StormOptions,
  record: StormRecord,
  interrupted: AbortSignal,
  undo: (() => unknown)[],
): Promise<Omit<World, 'stop'>> {
  const directory = await temporaryDirectory();
  undo.push(() => rm(directory, { recursive: true, force: true }));
  const identity = await startTestIdentityProvider();
  undo.push(() => identity.stop());
  const postgres = await startStormPostgres(directory);
  undo.push(() => postgres.stop());
  const logFile = join(directory, 'coordinators.log');
  const log = openSync(logFile, 'a');
  undo.push(() => closeSync(log));
  const served = options.bug === undefined ? program : await plantBug(directory, options.bug);

  const nodes: Node[] = [];
  const fronts: Way[] = [];
  const backs: Way[] = [];
  for (const name of names('node', counts.nodes)) {
    const [grpcPort, httpPort] = [await freePort(), await freePort()];
    const back = await startFaultProxy(postgres.port);
    const front = await startFaultProxy(grpcPort);
    undo.push(back.close, front.close);
    const databaseUrl = new URL(postgres.url);
    databaseUrl.port = String(back.port);
    const env = {
      DATABASE_URL: databaseUrl.href,
      DSTC_ISSUER: identity.issuer,
      DSTC_POLICY_FILE: policyFile,
      DSTC_GRPC_ADDRESS: `127.0.0.1:${grpcPort}`,
      DSTC_HTTP_ADDRESS: `127.0.0.1:${httpPort}`,
      DSTC_NODE_NAME: name,
      DSTC_LOG_LEVEL: 'error',
    };
    const onDeath = (how: string) => {
      record.accidents.push(`${name} ended by itself with ${how}`);
    };
    const coordinator = stormCoordinator({ program: served, env, log, interrupted, onDeath });
    undo.push(() => coordinator.end('SIGKILL'));
    nodes.push({ name, process: coordinator, isHit: false });
    fronts.push({ name: `clients to ${name}`, proxy: front, isHit: false });
    backs.push({ name: `${name} to Postgres`, proxy: back, isHit: false });
  }
  for (const node of nodes) await node.process.start();

  const addresses = fronts.map(({ proxy }) => `127.0.0.1:${proxy.port}`);
  await applyTypes(identity.issuer, identity.clients.operator, addresses[0]);

  const enlist = (file: string, client: 'worker' | 'producer', count: number, seed: number): Hand[] =>
    names(file, count).map((name, index) => {
      const settings: Settings = {
        ...{ name, addresses, issuer: identity.issuer, seed: seed + index, rate: options.rate / counts.submitters },
        clientId: identity.clients[client].clientId,
        clientSecret: identity.clients[client].clientSecret,
      };
      const process = member({
        file: `${file}.ts`,
        settings,
        onMessage: (message) => note(record, name, message),
        onDeath: (how) => record.accidents.push(`${name} ended by itself with ${how}`),
      });
      undo.push(() => process.end('SIGKILL'));
      process.start();
      return { name, process, isHit: false };
    });
  const workers = enlist('worker', 'worker', counts.workers, options.seed);
  enlist('zombie', 'worker', counts.zombies, options.seed + 100);
  const submitters = enlist('submitter', 'producer', counts.submitters, options.seed + 200).map((hand) => hand.process);
  return {
    postgres: { ...postgres, name: 'Postgres', isHit: false },
    nodes,
    fronts,
    backs,
    workers,
    submitters,
    logFile,
  };
}

async function applyTypes(
  issuer: string,
  operator: { readonly clientId: string; readonly clientSecret: string },
  address: string | undefined,
): Promise<void> {
  const client = createClient({ address, credentials: clientCredentials({ issuer, ...operator }) });
  try {
    for (const name of planTypes) {
      // Attempts are not what ends a task here: a storm costs some.
      const retry = { attemptsMax: 50, initialDelayMs: 100, multiplier: 1 };
      const deadlines = name === 'storm.haunted' ? { runMs: hauntedRunMs } : {};
      await client.types.apply({ name, retry, deadlines });
    }
  } finally {
    client.close();
  }
}

function names(kind: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${kind}-${index + 1}`);
}
