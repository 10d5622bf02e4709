import type { Caller, Callers } from '../auth/caller.ts';
import { DstcError } from '../domain/errors.ts';

/** The caller that the `authorization` headers of a call speak for; there must be exactly one of them. */
export async function authenticate(
  callers: Callers,
  authorization: readonly string[],
  options: { readonly wantsJson: boolean },
): Promise<Caller> {
  return callers.fromToken(bearerToken(authorization), options);
}

/** Two tokens are refused rather than one of them chosen: a proxy in front may have chosen the other. */
function bearerToken(authorization: readonly string[]): string {
  const [value, ...others] = authorization;
  if (value === undefined || value === '') {
    throw new DstcError('TOKEN_MISSING', 'the call has no token; send the header authorization: Bearer <token>');
  }
  if (others.length > 0) throw new DstcError('TOKEN_INVALID', 'the call has more than one authorization header');
  const match = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(value);
  if (match?.[1] === undefined) {
    throw new DstcError('TOKEN_INVALID', 'the authorization header is not of the form Bearer <token>');
  }
  return match[1];
}
