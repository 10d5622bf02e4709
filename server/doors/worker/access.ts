import type { Caller, Callers } from '../../auth/caller.ts';
import { samePrincipal } from '../../auth/principal.ts';
import { DstcError } from '../../domain/errors.ts';
import { limits } from '../../domain/limits.ts';
import { onExpiry, tokenExpired } from '../token-expiry.ts';

/** What the principal of an open stream may do now; its token can be renewed. */
export interface Access {
  readonly may: (type: string) => boolean;
  /** Time until the token expires; negative afterwards. */
  readonly leftMs: () => number;
  /** What comes of a promise, or TOKEN_INVALID if the token expires before. */
  readonly before: <Result>(work: Promise<Result>) => Promise<Result>;
  /** Whether it is time to ask for a fresh token; true once for each token. */
  readonly wantsToken: () => boolean;
  /** Takes a fresh token; rejects when it is not valid, or of another principal. */
  readonly renew: (token: string) => Promise<void>;
}

export function createAccess(callers: Callers, first: Caller, namespace: string): Access {
  let caller = first;
  const leftMs = () => caller.principal.expiresAt.getTime() - Date.now();
  let lifeMs = leftMs();
  let isAsked = false;
  return {
    leftMs,
    wantsToken() {
      // A token that lives for less than a minute is not old from the beginning.
      if (isAsked || leftMs() > Math.min(limits.credentialsAheadMs, (lifeMs * 2) / 3)) return false;
      isAsked = true;
      return true;
    },
    async before(work) {
      const expired = Promise.withResolvers<never>();
      const stop = onExpiry(caller.principal, () => expired.reject(tokenExpired()));
      try {
        return await Promise.race([work, expired.promise]);
      } finally {
        stop();
      }
    },
    may: (type) => leftMs() > 0 && caller.may('work', namespace, type),
    async renew(token) {
      const next = await callers.fromToken(token, { wantsJson: first.wantsJson });
      if (!samePrincipal(next.principal, first.principal)) {
        throw new DstcError('TOKEN_INVALID', 'Credentials must be of the principal that opened the stream');
      }
      caller = next;
      lifeMs = leftMs();
      isAsked = false;
    },
  };
}
