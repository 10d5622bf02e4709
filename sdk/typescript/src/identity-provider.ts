import {
  allowInsecureRequests,
  ClientSecretBasic,
  ClientSecretPost,
  type Configuration,
  discovery,
  None,
  ResponseBodyError,
  type TokenEndpointResponse,
  type TokenEndpointResponseHelpers,
  WWWAuthenticateChallengeError,
} from 'openid-client';
import { isLoopback } from './loopback.ts';
import type { TokenSet } from './token-cache.ts';

export interface IdentityProviderOptions {
  /** Its URL, as in the `iss` of its tokens. `http:` is only taken for a loopback host. */
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret?: string | undefined;
  /** How the secret is sent: in the `authorization` header (the default), or in the form. */
  readonly secretIn?: 'header' | 'form' | undefined;
}

const discoveryTimeoutS = 10;

/** The identity provider gave no token; the message says why. */
export class CredentialsError extends Error {
  override readonly name = 'CredentialsError';
}

export type TokenResponse = TokenEndpointResponse & TokenEndpointResponseHelpers;

export interface IdentityProvider {
  /** Its metadata, read when first needed, and again after a failure. */
  configuration(): Promise<Configuration>;
  /** What a grant gives; rejects with CredentialsError. */
  grant(ask: (configuration: Configuration) => Promise<TokenResponse>): Promise<TokenSet>;
}

export function identityProvider(options: IdentityProviderOptions): IdentityProvider {
  const issuer = issuerUrl(options.issuer);
  let found: Promise<Configuration> | undefined;
  function configuration(): Promise<Configuration> {
    found ??= discover(issuer, options).catch((error: unknown) => {
      found = undefined;
      throw failed(`the identity provider ${options.issuer} did not answer as one`, error);
    });
    return found;
  }
  return {
    configuration,
    async grant(ask) {
      const known = await configuration();
      try {
        return tokenSetOf(await ask(known));
      } catch (error) {
        throw failed(`the identity provider ${options.issuer} gave no token to ${options.clientId}`, error);
      }
    },
  };
}

function discover(issuer: URL, { clientId, clientSecret, secretIn = 'header' }: IdentityProviderOptions) {
  const authenticate =
    clientSecret === undefined
      ? None()
      : secretIn === 'header'
        ? ClientSecretBasic(clientSecret)
        : ClientSecretPost(clientSecret);
  const execute = issuer.protocol === 'http:' ? [allowInsecureRequests] : [];
  return discovery(issuer, clientId, undefined, authenticate, { execute, timeout: discoveryTimeoutS });
}

export function issuerUrl(issuer: string): URL {
  const url = new URL(issuer);
  if (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))) return url;
  throw new TypeError(`the issuer ${issuer} must be an https URL; http is only for loopback hosts`);
}

function tokenSetOf(response: TokenResponse): TokenSet {
  const lifetimeS = response.expiresIn();
  return {
    accessToken: response.access_token,
    refreshToken: response.refresh_token,
    expiresAt: lifetimeS === undefined ? undefined : new Date(Date.now() + lifetimeS * 1_000),
  };
}

function failed(what: string, error: unknown): CredentialsError {
  return new CredentialsError(`${what}: ${reasonOf(error)}`, { cause: error });
}

/** The provider's own words, wherever the library has put them. */
function reasonOf(error: unknown): string {
  if (error instanceof ResponseBodyError) return [error.error, error.error_description].filter(Boolean).join(', ');
  if (error instanceof WWWAuthenticateChallengeError) {
    const [challenge] = error.cause;
    const words = [challenge?.parameters.error, challenge?.parameters.error_description].filter(Boolean);
    if (words.length > 0) return words.join(', ');
  }
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
