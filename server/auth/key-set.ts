import { createLocalJWKSet, errors, type JWTVerifyGetKey } from 'jose';
import type { AuthLog } from './auth-log.ts';
import type { IssuerProfile } from './issuer.ts';
import { fetchKeys } from './key-fetch.ts';

export interface KeySetDeps {
  readonly log: AuthLog;
  readonly fetch: typeof globalThis.fetch;
  /** Milliseconds that only grow. */
  readonly now: () => number;
}

/** A withdrawn key is refused after this time at the latest. */
const refreshAfterMs = 10 * 60_000;
/** Known keys are used this long while the issuer cannot be reached. */
const staleMsMax = 24 * 3_600_000;
/** Tokens with invented key ids must not become a flood of requests to the issuer. */
const fetchIntervalMsMin = 30_000;
/** Without any key nobody can call, so a first fetch that failed is tried again sooner. */
const firstFetchIntervalMsMin = 1_000;

/** The issuer's keys cannot be had at present. */
export class KeysUnavailableError extends Error {
  override readonly name = 'KeysUnavailableError';
}

/**
 * The issuer's current keys for `jwtVerify`. At most one fetch is under way, and fetches are at least 30 s apart however
 * many unknown keys are asked for. jose's own remote set does not limit fetches that fail, and forgets its keys when the
 * issuer is down.
 */
export function createKeySet(deps: KeySetDeps, profile: IssuerProfile): JWTVerifyGetKey {
  let known: { readonly find: JWTVerifyGetKey; readonly fetchedAtMs: number } | undefined;
  let attemptedAtMs = Number.NEGATIVE_INFINITY;
  let underWay: Promise<void> | undefined;

  async function load(): Promise<void> {
    attemptedAtMs = deps.now();
    try {
      const keys = await fetchKeys(deps.fetch, profile);
      known = { find: createLocalJWKSet(keys), fetchedAtMs: deps.now() };
    } catch (cause) {
      deps.log.warn({ issuer: profile.issuer, err: cause }, 'the keys of an issuer cannot be fetched');
    }
  }

  /** Joins the fetch that is under way, begins one when that is allowed, or does nothing. */
  function refresh(intervalMsMin: number): Promise<void> {
    if (underWay !== undefined) return underWay;
    if (deps.now() - attemptedAtMs < intervalMsMin) return Promise.resolve();
    underWay = load().finally(() => {
      underWay = undefined;
    });
    return underWay;
  }

  function usable(): JWTVerifyGetKey | undefined {
    return known !== undefined && deps.now() - known.fetchedAtMs < staleMsMax ? known.find : undefined;
  }

  return async (header, token) => {
    if (usable() === undefined) await refresh(known === undefined ? firstFetchIntervalMsMin : fetchIntervalMsMin);
    else if (known !== undefined && deps.now() - known.fetchedAtMs > refreshAfterMs) void refresh(fetchIntervalMsMin);
    const find = usable();
    if (find === undefined) throw new KeysUnavailableError(`the keys of ${profile.issuer} cannot be fetched`);
    try {
      return await find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await refresh(fetchIntervalMsMin);
      const renewed = usable();
      if (renewed === undefined || renewed === find) throw error;
      return renewed(header, token);
    }
  };
}
