import { randomUUID } from 'node:crypto';
import { type JWK, type JWTPayload, SignJWT } from 'jose';
import { audience } from '../../server/embedded/identity-configuration.ts';

/** A token that is right in everything but what is given: claims (undefined leaves one out) and header. */
export function signToken(
  { issuer, signingKey }: { readonly issuer: string; readonly signingKey: JWK },
  claims: JWTPayload = {},
  header: { readonly typ?: string; readonly kid?: string } = {},
): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  const right = {
    iss: issuer,
    aud: audience,
    sub: 'producer',
    client_id: 'producer',
    jti: randomUUID(),
    iat: now,
    exp: now + 900,
  };
  return new SignJWT({ ...right, ...claims })
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: String(signingKey.kid), ...header })
    .sign(signingKey);
}
