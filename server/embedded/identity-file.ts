import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';
import { hasErrorCode } from './error-code.ts';
import { StartError } from './start-error.ts';

export const confidentialClients = ['producer', 'worker', 'operator'] as const;
export type ConfidentialClient = (typeof confidentialClients)[number];

/** What the identity provider must remember, so that tokens and configured clients outlive a restart. */
export interface Identity {
  /** The private key that signs tokens. */
  readonly signingKey: JWK;
  readonly clientSecrets: Readonly<Record<ConfidentialClient, string>>;
  /** Of the one person who can sign in. */
  readonly operatorPassword: string;
  readonly cookieKey: string;
}

/** Reads the identity kept in `dataDir`, or makes one there that only this user can read. */
export async function loadIdentity(dataDir: string): Promise<Identity> {
  const file = join(dataDir, 'identity.json');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (!hasErrorCode(error, 'ENOENT')) throw error;
    await mkdir(dataDir, { recursive: true });
    const identity = await createIdentity();
    // Renamed into place: half a file would lock everyone out.
    await writeFile(`${file}.partial`, `${JSON.stringify(identity, undefined, 2)}\n`, { mode: 0o600 });
    await rename(`${file}.partial`, file);
    return identity;
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new StartError(`${file} is damaged; delete it to get new keys and secrets`, { cause });
  }
}

async function createIdentity(): Promise<Identity> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const key = await exportJWK(privateKey);
  const secret = () => randomBytes(24).toString('base64url');
  return {
    signingKey: { ...key, alg: 'ES256', use: 'sig', kid: await calculateJwkThumbprint(key) },
    clientSecrets: { producer: secret(), worker: secret(), operator: secret() },
    // A person types this one.
    operatorPassword: randomBytes(10).toString('hex'),
    cookieKey: secret(),
  };
}
