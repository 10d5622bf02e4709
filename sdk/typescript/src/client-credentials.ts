import { clientCredentialsGrant } from 'openid-client';
import type { Credentials } from './credentials.ts';
import { type IdentityProviderOptions, identityProvider } from './identity-provider.ts';
import { cachedCredentials } from './token-cache.ts';

export interface ClientCredentialsOptions extends IdentityProviderOptions {
  readonly clientSecret: string;
  /** For providers that want to be told whom the token is for. */
  readonly audience?: string | undefined;
  readonly scope?: string | undefined;
}

/** Tokens for a service with a client id and a secret of its own. Nothing is fetched before the first call. */
export function clientCredentials(options: ClientCredentialsOptions): Credentials {
  const { audience, scope } = options;
  const provider = identityProvider(options);
  const parameters = { ...(audience !== undefined && { audience }), ...(scope !== undefined && { scope }) };
  return cachedCredentials(() => provider.grant((configuration) => clientCredentialsGrant(configuration, parameters)));
}
