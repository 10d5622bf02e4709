import { type Credentials, clientCredentials } from '@dstc/sdk';
import type { Access } from '../world.ts';
import { settings } from './parent.ts';

/** The coordinator's address, and fresh tokens for a client of the identity provider. */
export function accessFor(client: 'producer' | 'worker'): { address: string; credentials: Credentials } {
  const access = settings().access as Access;
  return { address: access.address, credentials: clientCredentials({ issuer: access.issuer, ...access[client] }) };
}
