import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TokenSet } from '@dstc/sdk';

/** What `dstc login` remembers under one profile name. */
export interface Login {
  /** `host:port` of the coordinator. */
  readonly address: string;
  readonly namespace?: string | undefined;
  /** PEM file of the authority that signed the coordinator. */
  readonly ca?: string | undefined;
  readonly plaintext?: boolean | undefined;
  readonly issuer: string;
  readonly clientId: string;
  /** A service has a secret of its own; a person has tokens that are renewed. */
  readonly clientSecret?: string | undefined;
  readonly audience?: string | undefined;
  readonly scope?: string | undefined;
  readonly tokens?: TokenSet | undefined;
}

export const profileDefault = 'default';

/** Where a profile is kept. Throws when the name could lead anywhere else. */
export function loginPath(env: NodeJS.ProcessEnv, profile: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(profile)) {
    throw new Error(`"${profile}" is no profile name: use letters, digits, "_", "." and "-"`);
  }
  const home = env.XDG_CONFIG_HOME ? env.XDG_CONFIG_HOME : join(env.HOME ?? homedir(), '.config');
  return join(home, 'dstc', 'logins', `${profile}.json`);
}

export async function readLogin(env: NodeJS.ProcessEnv, profile: string): Promise<Login | undefined> {
  const path = loginPath(env, profile);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return loginOf(JSON.parse(text));
  } catch {
    throw new Error(`${path} is damaged; log in again with dstc login`);
  }
}

/** Writes for the owner's eyes only, and in one step, so that a crash leaves the old or the new. */
export async function writeLogin(env: NodeJS.ProcessEnv, profile: string, login: Login): Promise<string> {
  const path = loginPath(env, profile);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, `${JSON.stringify(login, undefined, 2)}\n`, { mode: 0o600 });
  await rename(draft, path);
  return path;
}

/** Whether there was one. */
export async function removeLogin(env: NodeJS.ProcessEnv, profile: string): Promise<boolean> {
  const existed = (await readLogin(env, profile).catch(() => undefined)) !== undefined;
  await rm(loginPath(env, profile), { force: true });
  return existed;
}

/** JSON has no dates. */
function loginOf(value: Login): Login {
  if (typeof value.address !== 'string' || typeof value.issuer !== 'string' || typeof value.clientId !== 'string') {
    throw new TypeError('not a login');
  }
  const { tokens } = value;
  if (tokens?.expiresAt === undefined) return value;
  return { ...value, tokens: { ...tokens, expiresAt: new Date(tokens.expiresAt) } };
}
