import { rm } from 'node:fs/promises';
import postgres from 'postgres';
import { clientsOf } from '../../engine/rig.ts';
import {
  type CoordinatorProcess,
  type CoordinatorProcessOptions,
  coordinatorProcess,
} from '../../setup/coordinator-process.ts';
import { startTestIdentityProvider, type TestIdentityProvider } from '../../setup/identity-provider.ts';
import { temporaryDirectory } from '../../setup/temporary-directory.ts';
import { type StormPostgres, startStormPostgres } from '../../storm/storm-postgres.ts';
import { type Load, type LoadOptions, startLoad } from '../load.ts';

/** A Postgres with fsync on, an identity provider and coordinators, each a process of its own. */
export interface World {
  readonly postgres: StormPostgres;
  readonly identity: TestIdentityProvider;
  /** As the database knows it; waits while Postgres is away. */
  readonly sql: postgres.Sql;
  /** A coordinator that is not started yet. */
  readonly node: (name: string, options?: NodeOptions) => Promise<CoordinatorProcess>;
  /** Starts coordinators. */
  readonly nodes: (count: number) => Promise<CoordinatorProcess[]>;
  readonly load: (nodes: readonly CoordinatorProcess[], options: LoadSettings) => Promise<Load>;
  readonly operator: (node: CoordinatorProcess) => Promise<ReturnType<typeof clientsOf>>;
  readonly stop: () => Promise<void>;
}

type NodeOptions = Partial<Omit<CoordinatorProcessOptions, 'name'>>;
type LoadSettings = Omit<LoadOptions, 'identity' | 'addresses'>;

export async function startWorld(options: { readonly accessTokenSeconds?: number } = {}): Promise<World> {
  const directory = await temporaryDirectory();
  const [server, identity] = await Promise.all([startStormPostgres(directory), startTestIdentityProvider(options)]);
  const sql = postgres(server.url, { max: 2, onnotice: () => undefined });
  const started: CoordinatorProcess[] = [];
  const loads: Load[] = [];

  const world: World = {
    postgres: server,
    identity,
    sql,
    async node(name, nodeOptions = {}) {
      const node = await coordinatorProcess({ databaseUrl: server.url, issuer: identity.issuer, name, ...nodeOptions });
      started.push(node);
      return node;
    },
    async nodes(count) {
      const nodes: CoordinatorProcess[] = [];
      for (let n = 1; n <= count; n += 1) nodes.push(await world.node(`node-${n}`));
      await Promise.all(nodes.map((node) => node.start()));
      return nodes;
    },
    async load(nodes, settings) {
      const load = await startLoad({ identity, addresses: nodes.map((node) => node.grpcAddress), ...settings });
      loads.push(load);
      return load;
    },
    operator: async (node) => clientsOf(node.grpcAddress, await identity.token('operator')),
    async stop() {
      await Promise.all(loads.map((load) => load.stop()));
      await Promise.all(started.map((node) => node.kill()));
      await sql.end();
      await Promise.all([server.stop(), identity.stop()]);
      await rm(directory, { recursive: true, force: true });
    },
  };
  return world;
}

/** What a scenario measured, for the log and for docs/guarantees.md. */
export function figure(what: string, value: number, unit: string): void {
  console.log(`figure: ${what}: ${Math.round(value * 10) / 10} ${unit}`);
}
