import { hash } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, errors, type JWTVerifyGetKey, type JWTVerifyOptions, jwtVerify } from 'jose';
import { LRUCache } from 'lru-cache';
import { DstcError } from '../domain/errors.ts';
import type { AuthLog } from './auth-log.ts';
import { algorithmsDefault, type IssuerProfile, issuerMistakes } from './issuer.ts';
import { createKeySet, KeysUnavailableError } from './key-set.ts';
import { type Principal, principalOf } from './principal.ts';

export interface TokenVerifier {
  /** The principal that a bearer token speaks for. Rejects with TOKEN_INVALID and nothing else. */
  verify(token: string): Promise<Principal>;
}

export interface TokenVerifierDeps {
  readonly log: AuthLog;
  readonly fetch?: typeof globalThis.fetch;
  readonly now?: () => number;
}

const tokenBytesMax = 16 * 1024;
const cachedTokensMax = 10_000;
/** A verified token is taken at its word this long, so that thousands of calls a second cost one signature check. */
const cacheMsMax = 60_000;
const clockToleranceSecondsDefault = 5;

interface Issuer {
  readonly profile: IssuerProfile;
  readonly findKey: JWTVerifyGetKey;
  readonly options: JWTVerifyOptions;
}

/** Verifies JWT access tokens of the given issuers, as strict as RFC 8725 and RFC 9068. Throws on mistakes in the profiles. */
export function createTokenVerifier(deps: TokenVerifierDeps, profiles: readonly IssuerProfile[]): TokenVerifier {
  const mistakes = issuerMistakes(profiles);
  if (mistakes.length > 0) throw new Error(mistakes.join('\n'));
  const { log, fetch = globalThis.fetch, now = () => performance.now() } = deps;
  const issuers = new Map<string, Issuer>();
  for (const profile of profiles) {
    const findKey = createKeySet({ log, fetch, now }, profile);
    issuers.set(profile.issuer, { profile, findKey, options: optionsOf(profile) });
  }
  const verified = new LRUCache<string, Principal>({ max: cachedTokensMax, ttl: cacheMsMax });
  const underWay = new Map<string, Promise<Principal>>();

  return {
    async verify(token) {
      if (token.length > tokenBytesMax) throw tokenInvalid('it is too long');
      // The digest, so that a memory dump of the cache holds no credentials.
      const key = hash('sha256', token, 'base64url');
      const cached = verified.get(key);
      if (cached !== undefined && cached.expiresAt.getTime() > Date.now()) return cached;
      const running = underWay.get(key);
      if (running !== undefined) return running;
      const started = verifyToken(issuers, token).then((principal) => {
        const lifeMs = principal.expiresAt.getTime() - Date.now();
        if (lifeMs > 0) verified.set(key, principal, { ttl: Math.min(lifeMs, cacheMsMax) });
        return principal;
      });
      underWay.set(key, started);
      try {
        return await started;
      } finally {
        underWay.delete(key);
      }
    },
  };
}

async function verifyToken(issuers: ReadonlyMap<string, Issuer>, token: string): Promise<Principal> {
  try {
    const issuer = issuers.get(decodeJwt(token).iss ?? '');
    if (issuer === undefined) throw tokenInvalid('its issuer is not trusted here');
    refuseOwnKeys(token);
    const { payload } = await jwtVerify(token, issuer.findKey, issuer.options);
    refuseFuture(payload.iat, issuer.profile);
    if (payload.sub === undefined || payload.sub === '' || payload.sub.length > 255)
      throw tokenInvalid('it has no usable subject');
    return principalOf(payload);
  } catch (error) {
    throw asTokenInvalid(error);
  }
}

function optionsOf(profile: IssuerProfile): JWTVerifyOptions {
  return {
    issuer: profile.issuer,
    audience: profile.audience,
    algorithms: [...(profile.algorithms ?? algorithmsDefault)],
    typ: profile.typ ?? 'at+jwt',
    clockTolerance: profile.clockToleranceSeconds ?? clockToleranceSecondsDefault,
    requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat', ...(profile.requiredClaims ?? [])],
    ...(profile.maxAgeSeconds === undefined ? {} : { maxTokenAge: profile.maxAgeSeconds }),
  };
}

/** A token may not bring or name the key that it is to be verified with (RFC 8725, section 3.10). */
function refuseOwnKeys(token: string): void {
  const header = decodeProtectedHeader(token);
  for (const name of ['jwk', 'jku', 'x5u', 'x5c'] as const) {
    if (header[name] !== undefined) throw tokenInvalid(`its header has ${name}`);
  }
}

/** jose looks at `iat` only when an age is set. */
function refuseFuture(issuedAt: number | undefined, profile: IssuerProfile): void {
  const tolerance = profile.clockToleranceSeconds ?? clockToleranceSecondsDefault;
  if (issuedAt !== undefined && issuedAt > Date.now() / 1_000 + tolerance)
    throw tokenInvalid('it was issued in the future');
}

function asTokenInvalid(error: unknown): DstcError {
  if (error instanceof DstcError) return error;
  if (error instanceof KeysUnavailableError) {
    return new DstcError(
      'TOKEN_INVALID',
      'the token cannot be verified, as its issuer cannot be reached; try again soon',
      {
        cause: error,
        retryDelayMs: 5_000,
      },
    );
  }
  if (error instanceof errors.JWTExpired) return tokenInvalid('it has expired; fetch a new one', error);
  if (error instanceof errors.JWTClaimValidationFailed)
    return tokenInvalid(`its claim ${error.claim} is not acceptable`, error);
  if (error instanceof errors.JOSEAlgNotAllowed) return tokenInvalid('its algorithm is not acceptable', error);
  if (error instanceof errors.JWKSNoMatchingKey) return tokenInvalid('its key is not one of the issuer', error);
  if (error instanceof errors.JWSSignatureVerificationFailed) return tokenInvalid('its signature is wrong', error);
  return tokenInvalid('it is malformed', error);
}

function tokenInvalid(why: string, cause?: unknown): DstcError {
  return new DstcError('TOKEN_INVALID', `the bearer token is not valid: ${why}`, { cause });
}
