import type { Caller, Callers } from '../../auth/caller.ts';
import { samePrincipal } from '../../auth/principal.ts';
import { DstcError } from '../../domain/errors.ts';

/** What the principal of an open stream may do now; its token can be renewed. */
export interface Access {
  readonly may: (type: string) => boolean;
  /** Time until the token expires; negative afterwards. */
  readonly leftMs: () => number;
  /** Takes a fresh token; rejects when it is not valid, or of another principal. */
  readonly renew: (token: string) => Promise<void>;
}

export function createAccess(callers: Callers, first: Caller, namespace: string): Access {
  let caller = first;
  const leftMs = () => caller.principal.expiresAt.getTime() - Date.now();
  return {
    leftMs,
    may: (type) => leftMs() > 0 && caller.may('work', namespace, type),
    async renew(token) {
      const next = await callers.fromToken(token, { wantsJson: first.wantsJson });
      if (!samePrincipal(next.principal, first.principal)) {
        throw new DstcError('TOKEN_INVALID', 'Credentials must be of the principal that opened the stream');
      }
      caller = next;
    },
  };
}
