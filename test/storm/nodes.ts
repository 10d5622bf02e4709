import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type FaultProxy, startFaultProxy } from '../setup/fault-proxy.ts';
import { freePort } from '../setup/free-port.ts';
import { type StormCoordinator, stormCoordinator } from './coordinator.ts';
import type { NodeAddress } from './messages.ts';
import type { Stall } from './starvation.ts';
import type { Target } from './world.ts';

export interface Node extends Target {
  readonly process: StormCoordinator;
  readonly address: NodeAddress;
  /** Where the SDKs find it, through a proxy. */
  readonly frontAddress: string;
}

export interface Way extends Target {
  readonly proxy: FaultProxy;
}

export interface NodesOptions {
  readonly count: number;
  /** One of them, from 0, has a clock that is this much off. */
  readonly wrongClock: { readonly node: number; readonly ms: number };
  readonly directory: string;
  readonly program: string;
  readonly postgres: { readonly url: string; readonly port: number };
  /** Undefined where there is none. */
  readonly nats: { readonly port: number } | undefined;
  readonly issuer: string;
  readonly policyFile: string;
  readonly certificate: { readonly certFile: string; readonly keyFile: string };
  /** A file descriptor. */
  readonly log: number;
  readonly interrupted: AbortSignal;
  readonly onDeath: (name: string, how: string) => void;
  readonly onStall: (name: string, stall: Stall) => void;
}

export interface Nodes {
  readonly nodes: readonly Node[];
  /** From the SDKs to each coordinator. */
  readonly fronts: readonly Way[];
  /** From each coordinator to Postgres. */
  readonly backs: readonly Way[];
  /** From each coordinator to NATS. */
  readonly buses: readonly Way[];
}

/** The ways to and from a coordinator, as faults name them. */
export const frontName = (node: string): string => `clients to ${node}`;
export const backName = (node: string): string => `${node} to Postgres`;
const busName = (node: string): string => `${node} to NATS`;

/** Coordinators with a proxy before and some behind each of them; not yet started. What is to be undone goes to `undo`. */
export async function createNodes(options: NodesOptions, undo: (() => unknown)[]): Promise<Nodes> {
  const { count, wrongClock, directory, program, postgres, nats, policyFile, certificate, log, interrupted } = options;
  const nodes: Node[] = [];
  const fronts: Way[] = [];
  const backs: Way[] = [];
  const buses: Way[] = [];
  for (let index = 0; index < count; index += 1) {
    const name = `node-${index + 1}`;
    const clockMs = index === wrongClock.node ? wrongClock.ms : 0;
    const [grpcPort, httpPort] = [await freePort(), await freePort()];
    const back = await startFaultProxy(postgres.port);
    const front = await startFaultProxy(grpcPort);
    undo.push(back.close, front.close);
    const bus = nats && (await startFaultProxy(nats.port));
    if (bus !== undefined) {
      undo.push(bus.close);
      buses.push({ name: busName(name), proxy: bus, isHit: false });
    }
    const databaseUrl = new URL(postgres.url);
    databaseUrl.port = String(back.port);
    const configFile = join(directory, `${name}.yaml`);
    await writeFile(configFile, JSON.stringify({ issuers: [issuerFor(options.issuer, clockMs)] }));
    const address = {
      name,
      grpc: `127.0.0.1:${grpcPort}`,
      http: `127.0.0.1:${httpPort}`,
      hasRightClock: clockMs === 0,
    };
    const env = {
      DATABASE_URL: databaseUrl.href,
      DSTC_CONFIG_FILE: configFile,
      DSTC_POLICY_FILE: policyFile,
      DSTC_GRPC_ADDRESS: address.grpc,
      DSTC_HTTP_ADDRESS: address.http,
      DSTC_TLS_CERT_FILE: certificate.certFile,
      DSTC_TLS_KEY_FILE: certificate.keyFile,
      DSTC_NODE_NAME: name,
      DSTC_LOG_LEVEL: 'info',
      // The receiver of webhooks is on this machine.
      DSTC_WEBHOOK_ALLOW_HTTP: 'true',
      DSTC_WEBHOOK_ALLOW_NETWORKS: '127.0.0.0/8',
      ...(bus !== undefined && { NATS_URL: `nats://127.0.0.1:${bus.port}` }),
    };
    const onDeath = (how: string) => options.onDeath(name, how);
    const onStall = (stall: Stall) => options.onStall(name, stall);
    const ports = [grpcPort, httpPort];
    const coordinator = stormCoordinator({ program, ports, env, clockMs, log, interrupted, onDeath, onStall });
    undo.push(() => coordinator.end('SIGKILL'));
    const frontAddress = `127.0.0.1:${front.port}`;
    nodes.push({ name, process: coordinator, address, frontAddress, isHit: false });
    fronts.push({ name: frontName(name), proxy: front, isHit: false });
    backs.push({ name: backName(name), proxy: back, isHit: false });
  }
  return { nodes, fronts, backs, buses };
}

/** A node whose clock is off must be patient with tokens, or nobody could use it at all. */
function issuerFor(issuer: string, clockMs: number): object {
  const clockToleranceSeconds = clockMs === 0 ? 5 : Math.abs(clockMs) / 1_000 + 60;
  return { issuer, audience: 'dstc', clockToleranceSeconds };
}
