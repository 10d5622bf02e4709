import { initiateDeviceAuthorization, pollDeviceAuthorizationGrant, refreshTokenGrant } from 'openid-client';
import type { Credentials } from './credentials.ts';
import { CredentialsError, type IdentityProviderOptions, identityProvider } from './identity-provider.ts';
import { cachedCredentials, type TokenSet } from './token-cache.ts';

export interface DevicePrompt {
  /** Where the person goes, */
  readonly verificationUri: string;
  /** the same with the code in it, if the provider has that, */
  readonly verificationUriComplete: string | undefined;
  /** and the code to enter there. */
  readonly userCode: string;
  readonly expiresInMs: number;
}

export interface DeviceFlowOptions extends IdentityProviderOptions {
  /** Default: `openid offline_access`, which gives a refresh token. */
  readonly scope?: string | undefined;
  readonly audience?: string | undefined;
  /** Shows the person where to go. */
  readonly onPrompt: (prompt: DevicePrompt) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Signs a person in through any browser; ends when they have, or when the code expires. Keep the tokens safe. */
export async function deviceFlow(options: DeviceFlowOptions): Promise<TokenSet> {
  const { scope = 'openid offline_access', audience, onPrompt, signal } = options;
  const provider = identityProvider(options);
  const authorization = await initiateDeviceAuthorization(await provider.configuration(), {
    scope,
    ...(audience !== undefined && { audience }),
  });
  onPrompt({
    verificationUri: authorization.verification_uri,
    verificationUriComplete: authorization.verification_uri_complete,
    userCode: authorization.user_code,
    expiresInMs: authorization.expires_in * 1_000,
  });
  return provider.grant((configuration) =>
    pollDeviceAuthorizationGrant(configuration, authorization, undefined, signal && { signal }),
  );
}

export interface UserCredentialsOptions extends IdentityProviderOptions {
  /** What `deviceFlow` gave. */
  readonly tokens: TokenSet;
  /** Called with every renewed set, to be kept in place of the last one: a refresh token may be good for one use. */
  readonly onTokens?: ((tokens: TokenSet) => void | Promise<void>) | undefined;
}

/** Tokens of a person who has signed in, renewed with the refresh token. */
export function userCredentials(options: UserCredentialsOptions): Credentials {
  const { onTokens } = options;
  const provider = identityProvider(options);
  let tokens = options.tokens;
  const refresh = async (): Promise<TokenSet> => {
    const { refreshToken } = tokens;
    if (refreshToken === undefined)
      throw new CredentialsError('the sign-in has ended and has no refresh token; sign in again');
    const renewed = await provider.grant((configuration) => refreshTokenGrant(configuration, refreshToken));
    tokens = { ...renewed, refreshToken: renewed.refreshToken ?? refreshToken };
    await onTokens?.(tokens);
    return tokens;
  };
  return cachedCredentials(refresh, { initial: tokens, now: Date.now });
}
