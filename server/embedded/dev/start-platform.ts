import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DevProfile } from '@dstc/sdk';
import { formatAddress } from '../../doors/door.ts';
import { StartError } from '../start-error.ts';
import { startChild } from './child.ts';
import { removeDevProfile, writeDevProfile } from './dev-profile.ts';
import type { Parts } from './parts.ts';
import type { Screen } from './screen.ts';
import { seconds } from './screen.ts';
import type { StartSettings } from './settings.ts';

export interface PlatformDeps {
  readonly screen: Screen;
  readonly parts: Parts;
  /** Where a part that others need tells that it has ended. */
  readonly onLost: (why: string) => void;
}

const server = (file: string) => fileURLToPath(new URL(`../../${file}`, import.meta.url));

/** For the coordinator, which drains for eight seconds at most. */
const drainMsMax = 9_000;

/** Starts database, identity provider and coordinator, and leaves the profile that clients find. */
export async function startPlatform(deps: PlatformDeps, settings: StartSettings): Promise<DevProfile> {
  // All are needed, so all are waited for: a part that is starting could not be stopped.
  const [database, identity, nats] = await Promise.allSettled([
    startDatabase(deps, settings),
    startIdentity(deps, settings),
    startNats(deps, settings),
  ]);
  if (database.status === 'rejected') throw database.reason;
  if (identity.status === 'rejected') throw identity.reason;
  if (nats.status === 'rejected') throw nats.reason;

  const { issuer, policyFile, clients } = identity.value;
  const given = { DATABASE_URL: database.value, DSTC_ISSUER: issuer, DSTC_POLICY_FILE: policyFile };
  const coordinator = { ...given, ...nats.value };
  const addresses = await startCoordinator(deps, settings, coordinator);
  const profile: DevProfile = { ...addresses, issuer, clients };
  await writeDevProfile(settings.dataDir, profile, coordinator);
  deps.parts.add(() => removeDevProfile(settings.dataDir));
  return profile;
}

async function startDatabase({ screen, parts, onLost }: PlatformDeps, settings: StartSettings): Promise<string> {
  const { databaseUrl, dataDir, postgresPort } = settings;
  if (databaseUrl !== undefined) {
    screen.line(partLine('Postgres', 'the one of DATABASE_URL'));
    return databaseUrl;
  }
  const began = performance.now();
  const { startEmbeddedPostgres } = await import('../postgres.ts');
  let place = '';
  const log = (message: string) => {
    place = / its data is in (.*)$/.exec(message)?.[1] ?? place;
  };
  const postgres = await startEmbeddedPostgres({ dataDir: join(dataDir, 'postgres'), port: postgresPort, log });
  let stopping = false;
  parts.add(() => {
    stopping = true;
    return postgres.stop();
  });
  void postgres.ended.then(() => {
    if (!stopping) onLost(`Postgres ended; its log is ${join(dataDir, 'postgres', 'postgres.log')}`);
  });
  screen.line(
    partLine('Postgres', `127.0.0.1:${postgresPort}`, `${place}, up in ${seconds(performance.now() - began)}`),
  );
  return postgres.url;
}

async function startIdentity({ screen, parts }: PlatformDeps, settings: StartSettings) {
  if (settings.issuer !== undefined) {
    const { issuer, policyFile, clientId, clientSecret } = settings.issuer;
    screen.line(partLine('identity provider', issuer, 'the one of DSTC_ISSUER'));
    const client = { clientId, clientSecret };
    return { issuer, policyFile, clients: { producer: client, worker: client, operator: client } };
  }
  const began = performance.now();
  const { startIdentityProvider } = await import('../identity-provider.ts');
  const provider = await startIdentityProvider({
    dataDir: join(settings.dataDir, 'identity'),
    host: '127.0.0.1',
    port: settings.issuerPort,
    log: (message) => {
      if (!message.includes('listens on')) screen.problem(message);
    },
  });
  parts.add(() => provider.stop());
  const { issuer, clients } = provider;
  const names = Object.keys(clients).join(', ');
  screen.line(partLine('identity provider', issuer, `clients ${names}; up in ${seconds(performance.now() - began)}`));
  return { issuer, policyFile: server('embedded/policy.yaml'), clients };
}

/** The settings with which a coordinator finds NATS; none where there is none. */
async function startNats({ screen, parts, onLost }: PlatformDeps, settings: StartSettings) {
  if (settings.natsUrl !== undefined) {
    screen.line(partLine('NATS', 'the one of NATS_URL'));
    return {};
  }
  const began = performance.now();
  const { findNatsProgram } = await import('../nats-program.ts');
  const program = await findNatsProgram(process.env);
  if (program === undefined) {
    screen.line(partLine('NATS', 'none', 'no nats-server was found; events stay in the database'));
    return {};
  }
  const { startEmbeddedNats } = await import('../nats.ts');
  const token = randomBytes(24).toString('base64url');
  const dataDir = join(settings.dataDir, 'nats');
  const nats = await startEmbeddedNats({ program, dataDir, port: settings.natsPort, token });
  let stopping = false;
  parts.add(() => {
    stopping = true;
    return nats.stop();
  });
  void nats.ended.then(() => {
    if (!stopping) onLost(`NATS ended; its log is ${join(dataDir, 'nats.log')}`);
  });
  const about = `nats-server ${program.version}, ${program.file}; up in ${seconds(performance.now() - began)}`;
  screen.line(partLine('NATS', nats.address, about));
  return { NATS_URL: `nats://${nats.address}`, DSTC_NATS_TOKEN: token };
}

async function startCoordinator(
  { screen, parts, onLost }: PlatformDeps,
  settings: StartSettings,
  given: Readonly<Record<string, string>>,
): Promise<Pick<DevProfile, 'grpcAddress' | 'httpAddress'>> {
  const began = performance.now();
  const { DSTC_CLIENT_ID: _id, DSTC_CLIENT_SECRET: _secret, DSTC_TOKEN: _token, ...env } = process.env;
  const child = startChild({
    name: 'the coordinator',
    args: [server('main.ts'), 'serve'],
    env: { ...env, ...given, DSTC_GRPC_ADDRESS: settings.grpcAddress, DSTC_HTTP_ADDRESS: settings.httpAddress },
    logFile: join(settings.dataDir, 'log', 'coordinator.log'),
  });
  parts.add(() => child.stop(drainMsMax));
  const addresses = readyAddresses(await child.firstMessage);
  if (addresses === undefined) throw new StartError((await child.ended) ?? 'the coordinator was stopped');
  void child.ended.then((why) => why !== undefined && onLost(why));
  const { grpcAddress, httpAddress } = addresses;
  screen.line(partLine('coordinator', grpcAddress, `gRPC; up in ${seconds(performance.now() - began)}`));
  screen.line(partLine('', `http://${httpAddress}`, 'Connect, gRPC-Web, JSON'));
  return addresses;
}

type Address = Parameters<typeof formatAddress>[0];

/** What main.ts sends when its doors are open. */
function readyAddresses(message: unknown): Pick<DevProfile, 'grpcAddress' | 'httpAddress'> | undefined {
  if (typeof message !== 'object' || message === null) return undefined;
  if (!('grpcAddress' in message) || !('httpAddress' in message)) return undefined;
  const { grpcAddress, httpAddress } = message as { grpcAddress: Address; httpAddress: Address };
  return { grpcAddress: formatAddress(reachable(grpcAddress)), httpAddress: formatAddress(reachable(httpAddress)) };
}

/** A door that listens everywhere is reached here. */
function reachable({ host, port }: Address): Address {
  return { host: host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host, port };
}

export function partLine(name: string, where: string, about = ''): string {
  return `  ${name.padEnd(18)} ${where.padEnd(24)} ${about}`.trimEnd();
}
