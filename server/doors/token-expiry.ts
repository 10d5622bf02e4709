import type { Principal } from '../auth/principal.ts';
import { DstcError } from '../domain/errors.ts';
import { timerMsMax } from './door-limits.ts';

/** What ends a call that outlives its token. */
export function tokenExpired(): DstcError {
  return new DstcError('TOKEN_INVALID', 'the token has expired; come back with a fresh one');
}

/** Calls back once when the token has expired, which may be now. Returns what ends it. */
export function onExpiry({ expiresAt }: Principal, listener: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  function look(): void {
    const leftMs = expiresAt.getTime() - Date.now();
    if (leftMs <= 0) listener();
    else timer = setTimeout(look, Math.min(leftMs, timerMsMax)).unref();
  }
  look();
  return () => clearTimeout(timer);
}
