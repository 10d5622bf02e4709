import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { clientCredentials, createClient, type TaskTypeDefinition } from '@dstc/sdk';
import postgres from 'postgres';
import { startEmbeddedPostgres } from '../../server/embedded/postgres.ts';
import { databaseUrl } from '../setup/database-url.ts';
import { freePort } from '../setup/free-port.ts';
import { startTestIdentityProvider } from '../setup/identity-provider.ts';
import { deleteForgottenDirectories, temporaryDirectory } from '../setup/temporary-directory.ts';
import { type Child, startChild } from './child.ts';
import type { ResourceUse } from './observe.ts';

/** How a load reaches the coordinator, and with whose rights. */
export interface Access {
  readonly address: string;
  readonly issuer: string;
  readonly producer: { readonly clientId: string; readonly clientSecret: string };
  readonly worker: { readonly clientId: string; readonly clientSecret: string };
}

/** All that is measured, as real processes: Postgres with fsync on, an identity provider, one coordinator. */
export interface World {
  readonly interrupted: AbortSignal;
  readonly access: Access;
  /** Of the coordinator's database. */
  readonly sql: postgres.Sql;
  /** Of a database on the same Postgres for the peer. */
  readonly peerUrl: string;
  readonly use: () => Promise<ResourceUse>;
  /** A coordinator more, with a database of its own on the same Postgres and settings of its own. */
  readonly another: (database: string, env: Readonly<Record<string, string>>) => Promise<Another>;
  /** Transactions that the coordinator's database has seen. */
  readonly commits: () => Promise<number>;
  /** Writes out what earlier loads left in memory, so that no load pays for another's. */
  readonly settle: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** What of a world belongs to one coordinator. */
export type Another = Pick<World, 'access' | 'sql' | 'use'> & { readonly stop: () => Promise<void> };

export const submitType = 'bench.submit';
export const lifecycleType = 'bench.lifecycle';
export const latencyType = 'bench.latency';
export const subscribeType = 'bench.subscribe';

const plenty = 1_000_000;
const key = { label: 'tenant' };
/** Limits that are kept and never reached, by what they are about. */
export const limitedTypes = {
  concurrency: { name: 'bench.concurrency', limits: { concurrencyMax: 100_000 } },
  key: { name: 'bench.key', limits: { key } },
  rate: { name: 'bench.rate', limits: { rate: { tasks: plenty } } },
  perKey: {
    name: 'bench.per-key',
    limits: {
      key,
      concurrencyMax: 100_000,
      concurrencyPerKeyMax: 100_000,
      ratePerKey: { tasks: plenty },
      queueMax: plenty,
    },
  },
} as const satisfies Record<string, TaskTypeDefinition>;
export type LimitKind = keyof typeof limitedTypes;

const policyFile = fileURLToPath(new URL('../../server/embedded/policy.yaml', import.meta.url));
const mainFile = new URL('../../server/main.ts', import.meta.url);
const observeFile = new URL('./observe.ts', import.meta.url);

export interface WorldOptions {
  /** Where the coordinator's CPU profile goes. */
  readonly profileDir: string | undefined;
  /** Ends every process that is measured or measures. */
  readonly interrupted: AbortSignal;
}

export async function startWorld(options: WorldOptions): Promise<World> {
  const undo: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    await deleteForgottenDirectories();
    const directory = await temporaryDirectory();
    undo.push(() => rm(directory, { recursive: true, force: true }));
    const server = await startEmbeddedPostgres({
      dataDir: join(directory, 'postgres'),
      port: await freePort(),
      log: () => undefined,
    });
    undo.push(() => server.stop());
    // Its own database, so that what it asks is not counted as the coordinator's.
    const admin = postgres(databaseUrl(server.url, 'postgres'), { max: 1, onnotice: () => undefined });
    undo.push(() => admin.end());
    await admin`CREATE DATABASE peer`;
    const identity = await startTestIdentityProvider();
    undo.push(() => identity.stop());

    async function start(url: string, env: Readonly<Record<string, string>>): Promise<Another> {
      const sql = postgres(url, { max: 1, onnotice: () => undefined });
      const coordinator = startCoordinator(url, identity.issuer, env, options);
      const end = async () => {
        await coordinator.stop();
        await sql.end();
      };
      undo.push(end);
      const { grpcAddress } = await coordinator.next<Ready>('ready');
      const address = `${grpcAddress.host}:${grpcAddress.port}`;
      await applyTypes(address, identity.issuer, identity.clients.operator);
      const { producer, worker } = identity.clients;
      return {
        access: { address, issuer: identity.issuer, producer, worker },
        sql,
        use() {
          const answer = coordinator.next<ResourceUse>('use');
          coordinator.send('use');
          return answer;
        },
        async stop() {
          undo.splice(undo.indexOf(end), 1);
          await end();
        },
      };
    }

    return {
      ...(await start(server.url, {})),
      interrupted: options.interrupted,
      peerUrl: databaseUrl(server.url, 'peer'),
      async another(database, env) {
        await admin`CREATE DATABASE ${admin(database)}`;
        return start(databaseUrl(server.url, database), env);
      },
      async commits() {
        const [row] = await admin<{ count: number }[]>`
          SELECT xact_commit::float8 AS count FROM pg_stat_database WHERE datname = 'dstc'`;
        return row?.count ?? Number.NaN;
      },
      async settle() {
        await admin`CHECKPOINT`;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Ready {
  readonly kind: 'ready';
  readonly grpcAddress: { readonly host: string; readonly port: number };
}

function startCoordinator(
  url: string,
  issuer: string,
  env: Readonly<Record<string, string>>,
  { profileDir, interrupted }: WorldOptions,
): Child {
  return startChild({
    file: mainFile,
    args: ['serve'],
    interrupted,
    nodeFlags: [
      `--import=${observeFile.href}`,
      ...(profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`]),
    ],
    env: {
      DATABASE_URL: url,
      DSTC_ISSUER: issuer,
      DSTC_POLICY_FILE: policyFile,
      DSTC_GRPC_ADDRESS: '127.0.0.1:0',
      DSTC_HTTP_ADDRESS: '127.0.0.1:0',
      DSTC_LOG_LEVEL: 'warn',
      ...env,
    },
  });
}

async function applyTypes(
  address: string,
  issuer: string,
  operator: { readonly clientId: string; readonly clientSecret: string },
): Promise<void> {
  const client = createClient({ address, credentials: clientCredentials({ issuer, ...operator }) });
  try {
    for (const name of [submitType, lifecycleType, latencyType, subscribeType]) await client.types.apply({ name });
    for (const type of Object.values(limitedTypes)) await client.types.apply(type);
  } finally {
    client.close();
  }
}
