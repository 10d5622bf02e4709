import { readFile } from 'node:fs/promises';
import type { Client, ClientOptions, Credentials, DevClient, TlsOptions } from '@dstc/sdk';
import { UsageError } from './exit.ts';
import { type Login, profileDefault, readLogin, writeLogin } from './login-store.ts';

export interface ConnectionFlags {
  readonly address?: string;
  readonly namespace?: string;
  readonly profile?: string;
  /** PEM file. */
  readonly ca?: string;
  readonly plaintext?: boolean;
}

/** Where the coordinator is and who calls it. */
export interface Target extends ClientOptions {
  readonly address: string;
}

export interface Connection {
  readonly target: Target;
  readonly client: Client;
}

export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly folder: string;
}

/**
 * Flags decide; what they leave open comes from the environment, then from the login, then from the `.dstc/dev.json` of
 * an embedded start in this folder or above.
 */
export async function findTarget(
  { env, folder }: Surroundings,
  flags: ConnectionFlags,
  devClient: DevClient,
): Promise<Target> {
  const sdk = await import('@dstc/sdk');
  const named = flags.profile ?? env.DSTC_PROFILE;
  const login = await readLogin(env, named ?? profileDefault);
  if (named !== undefined && login === undefined) {
    throw new UsageError(`there is no login "${named}"; make one with dstc login --profile ${named}`);
  }
  const tls = await tlsOf(env, flags, login);
  const namespace = flags.namespace ?? env.DSTC_NAMESPACE ?? login?.namespace;
  const address = flags.address ?? env.DSTC_ADDRESS;

  const token = env.DSTC_TOKEN;
  const usesEnvironment = flags.profile === undefined && Boolean(token || env.DSTC_ISSUER);
  if (login !== undefined && !usesEnvironment) {
    return { address: address ?? login.address, credentials: await credentialsOf(env, login, named), namespace, tls };
  }
  if (usesEnvironment && token) {
    const known = address ?? sdk.findDevProfile(folder)?.grpcAddress ?? '127.0.0.1:7420';
    return { address: known, credentials: sdk.staticToken(token), namespace, tls };
  }
  if (!env.DSTC_ISSUER && sdk.findDevProfile(folder) === undefined) throw new UsageError(nowhere);
  const found = sdk.connectionFor(devClient, { env, folder });
  return { address: flags.address ?? found.address, credentials: found.credentials, namespace, tls };
}

const nowhere =
  'there is no coordinator to connect to: log in with dstc login, start one with dstc dev in this folder or above, ' +
  'or set DSTC_ADDRESS and DSTC_TOKEN';

async function credentialsOf(env: NodeJS.ProcessEnv, login: Login, profile = profileDefault): Promise<Credentials> {
  const { clientCredentials, userCredentials } = await import('@dstc/sdk');
  const { issuer, clientId, clientSecret, audience, scope, tokens } = login;
  if (tokens !== undefined) {
    const onTokens = async (renewed: Login['tokens']) => {
      await writeLogin(env, profile, { ...login, tokens: renewed });
    };
    return userCredentials({ issuer, clientId, clientSecret, tokens, onTokens });
  }
  if (clientSecret === undefined) throw new UsageError(`the login "${profile}" is incomplete; log in again`);
  return clientCredentials({ issuer, clientId, clientSecret, audience, scope });
}

/** Undefined lets the SDK decide: TLS, except to a loopback address. */
async function tlsOf(
  env: NodeJS.ProcessEnv,
  flags: ConnectionFlags,
  login: Login | undefined,
): Promise<boolean | TlsOptions | undefined> {
  const ca = flags.ca ?? env.DSTC_CA ?? login?.ca;
  const plaintext = flags.plaintext ?? (flags.ca === undefined ? login?.plaintext : undefined);
  if (flags.ca !== undefined && flags.plaintext) throw new UsageError('--ca and --plaintext exclude each other');
  if (plaintext) return false;
  return ca === undefined ? undefined : { ca: await readFile(ca) };
}
