import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { addressDefault } from './channel.ts';
import { clientCredentials } from './client-credentials.ts';
import type { Credentials } from './credentials.ts';

/** The clients that the embedded start registers with its identity provider. */
export type DevClient = 'producer' | 'worker' | 'operator';

export interface Connection {
  readonly address: string;
  readonly credentials: Credentials;
}

/** What `.dstc/dev.json` has: the embedded start writes it for the owner's eyes only. */
export interface DevProfile {
  readonly grpcAddress: string;
  readonly httpAddress: string;
  readonly issuer: string;
  readonly clients: Readonly<Record<DevClient, { readonly clientId: string; readonly clientSecret: string }>>;
}

/**
 * Where the coordinator is and who calls it, for `createClient` and `Worker`. DSTC_ADDRESS, DSTC_ISSUER,
 * DSTC_CLIENT_ID and DSTC_CLIENT_SECRET decide; what they leave open comes from the `.dstc/dev.json` of the embedded
 * start, in this folder or the nearest one above it.
 */
export function connectionFor(
  client: DevClient,
  { env = process.env, folder = process.cwd() }: { env?: NodeJS.ProcessEnv; folder?: string } = {},
): Connection {
  const fromEnvironment = environmentClient(env);
  const profile = fromEnvironment === undefined ? requireDevProfile(folder) : undefined;
  const address = env.DSTC_ADDRESS ?? profile?.grpcAddress ?? addressDefault;
  const credentials =
    fromEnvironment ?? (profile && clientCredentials({ issuer: profile.issuer, ...profile.clients[client] }));
  if (credentials === undefined) throw new Error(`.dstc/dev.json has no client "${client}"`);
  return { address, credentials };
}

/** The profile of the embedded start in a folder or the nearest one above it, if there is one. */
export function findDevProfile(folder: string = process.cwd()): DevProfile | undefined {
  for (let current = folder; ; current = dirname(current)) {
    const path = join(current, '.dstc', 'dev.json');
    const text = readIfPresent(path);
    if (text !== undefined) return parseProfile(path, text);
    if (dirname(current) === current) return undefined;
  }
}

function requireDevProfile(folder: string): DevProfile {
  const profile = findDevProfile(folder);
  if (profile !== undefined) return profile;
  throw new Error(
    `there is no coordinator to connect to: set ${clientVariables.join(', ')}, or run "npm start" in ${folder} or above`,
  );
}

const clientVariables = ['DSTC_ISSUER', 'DSTC_CLIENT_ID', 'DSTC_CLIENT_SECRET'] as const;

function environmentClient(env: NodeJS.ProcessEnv): Credentials | undefined {
  const [issuer, clientId, clientSecret] = clientVariables.map((name) => env[name]);
  if (issuer && clientId && clientSecret) return clientCredentials({ issuer, clientId, clientSecret });
  const missing = clientVariables.filter((name) => !env[name]);
  if (missing.length === clientVariables.length) return undefined;
  throw new Error(`${missing.join(' and ')} must be set too: ${clientVariables.join(', ')} belong together`);
}

function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return undefined;
    throw error;
  }
}

function parseProfile(path: string, text: string): DevProfile {
  const value: unknown = JSON.parse(text);
  if (isDevProfile(value)) return value;
  throw new Error(`${path} is not what the embedded start writes; start it again to have it written anew`);
}

function isDevProfile(value: unknown): value is DevProfile {
  if (!isObject(value) || !isObject(value.clients)) return false;
  const strings = [value.grpcAddress, value.httpAddress, value.issuer];
  for (const client of ['producer', 'worker', 'operator'] satisfies DevClient[]) {
    const entry = value.clients[client];
    if (!isObject(entry)) return false;
    strings.push(entry.clientId, entry.clientSecret);
  }
  return strings.every((text) => typeof text === 'string');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
