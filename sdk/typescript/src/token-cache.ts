import type { Credentials } from './credentials.ts';

/** What an identity provider gave. */
export interface TokenSet {
  readonly accessToken: string;
  /** To get the next access token with, if the provider gave one. */
  readonly refreshToken?: string | undefined;
  /** When the access token ends; undefined when the provider did not say. */
  readonly expiresAt?: Date | undefined;
}

interface Clock {
  readonly now: () => number;
}

/** A token without a stated end is fetched anew this often. */
const lifetimeMsDefault = 300_000;
const failurePauseMs = 5_000;
/** A token that ends this soon is not handed out, as it might end on its way. */
const marginMsMax = 10_000;

/**
 * Credentials that fetch a token when there is none, and the next one in the background when two thirds of its life
 * have passed, so that callers do not wait. Callers that need a token at the same time share one fetch.
 */
export function cachedCredentials(
  fetch: () => Promise<TokenSet>,
  { initial, now }: Clock & { readonly initial?: TokenSet | undefined } = { now: Date.now },
): Credentials {
  let current = initial && held(initial, now());
  let pending: Promise<Held> | undefined;
  let quietUntil = 0;

  function renew(): Promise<Held> {
    pending ??= fetch()
      .then((tokens) => {
        current = held(tokens, now());
        return current;
      })
      .catch((error: unknown) => {
        quietUntil = now() + failurePauseMs;
        throw error;
      })
      .finally(() => {
        pending = undefined;
      });
    return pending;
  }

  return {
    async token({ refused } = {}) {
      const time = now();
      if (current === undefined || current.token === refused || time >= current.unusableAt)
        return (await renew()).token;
      if (time >= current.renewAt && time >= quietUntil) {
        // The one in hand is still good: a provider that is away now is asked again later.
        renew().catch(() => undefined);
      }
      return current.token;
    },
  };
}

interface Held {
  readonly token: string;
  readonly renewAt: number;
  readonly unusableAt: number;
}

function held({ accessToken, expiresAt }: TokenSet, now: number): Held {
  const lifetimeMs = Math.max(0, expiresAt === undefined ? lifetimeMsDefault : expiresAt.getTime() - now);
  return {
    token: accessToken,
    renewAt: now + (lifetimeMs * 2) / 3,
    unusableAt: now + lifetimeMs - Math.min(marginMsMax, lifetimeMs / 10),
  };
}
