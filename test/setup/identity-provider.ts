import { rm } from 'node:fs/promises';
import type { JWK, JWTPayload } from 'jose';
import { type ConfidentialClient, loadIdentity } from '../../server/embedded/identity-file.ts';
import { type EmbeddedIdentityProvider, startIdentityProvider } from '../../server/embedded/identity-provider.ts';
import { freePort } from './free-port.ts';
import { signToken } from './sign-token.ts';
import { temporaryDirectory } from './temporary-directory.ts';

export interface TestIdentityProvider extends EmbeddedIdentityProvider {
  /** The private key that signs its tokens, for tokens that it would never issue. */
  readonly signingKey: JWK;
  /** An access token as the client's program gets it. */
  token(client: ConfidentialClient): Promise<string>;
  /** A token that is right in everything but what is given: claims (undefined leaves one out) and header. */
  forge(claims?: JWTPayload, header?: { typ?: string; kid?: string }): Promise<string>;
}

export interface TestIdentityProviderOptions {
  readonly accessTokenSeconds?: number;
}

/** The embedded identity provider on a free port, with keys of its own. */
export async function startTestIdentityProvider(
  options: TestIdentityProviderOptions = {},
): Promise<TestIdentityProvider> {
  const dataDir = await temporaryDirectory();
  const log = (message: string) => {
    if (!message.includes('listens on')) console.error(message);
  };
  const provider = await startIdentityProvider({ dataDir, host: '127.0.0.1', port: await freePort(), log, ...options });
  const { signingKey } = await loadIdentity(dataDir);
  return {
    ...provider,
    signingKey,
    token: (client) => clientToken(provider, client),
    forge: (claims, header) => signToken({ issuer: provider.issuer, signingKey }, claims, header),
    async stop() {
      await provider.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function clientToken(provider: EmbeddedIdentityProvider, client: ConfidentialClient): Promise<string> {
  const { clientId, clientSecret } = provider.clients[client];
  const response = await fetch(`${provider.issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  if (!response.ok) throw new Error(`no token for ${client}: ${response.status} ${await response.text()}`);
  const answer = (await response.json()) as { readonly access_token: string };
  return answer.access_token;
}
