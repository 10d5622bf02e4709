/** What makes a token of one issuer good. */
export interface IssuerProfile {
  /** Equal to the token's `iss`. */
  readonly issuer: string;
  /** One of the token's `aud`. */
  readonly audience: string;
  /** Default: ES256, RS256, PS256, EdDSA. Symmetric ones are refused. */
  readonly algorithms?: readonly string[];
  /** The token's `typ`. Default `at+jwt` (RFC 9068), so that an ID token is never taken for an access token. */
  readonly typ?: string;
  /** Default: what the issuer's discovery document says. */
  readonly jwksUri?: string;
  /** How far the issuer's clock may differ. Default 5. */
  readonly clockToleranceSeconds?: number;
  /** Refuse tokens that were issued longer ago. Default: any age, up to `exp`. */
  readonly maxAgeSeconds?: number;
  /** Besides `iss`, `sub`, `aud`, `exp` and `iat`. */
  readonly requiredClaims?: readonly string[];
}

export const algorithmsDefault = ['ES256', 'RS256', 'PS256', 'EdDSA'] as const;

const asymmetric = new Set([
  ...algorithmsDefault,
  'Ed25519',
  ...['ES384', 'ES512', 'RS384', 'RS512', 'PS384', 'PS512'],
]);

/** Every mistake in the profiles, each with the issuer it concerns. */
export function issuerMistakes(issuers: readonly IssuerProfile[]): readonly string[] {
  const mistakes: string[] = [];
  const seen = new Set<string>();
  if (issuers.length === 0) mistakes.push('no issuer is configured, so nobody could call');
  for (const profile of issuers) {
    const name = `issuer ${JSON.stringify(profile.issuer)}`;
    if (seen.has(profile.issuer)) mistakes.push(`${name}: configured twice`);
    seen.add(profile.issuer);
    if (!isTrustworthyUrl(profile.issuer)) mistakes.push(`${name}: must be an https URL, or http on loopback`);
    if (profile.jwksUri !== undefined && !isTrustworthyUrl(profile.jwksUri)) {
      mistakes.push(`${name}: jwksUri must be an https URL, or http on loopback`);
    }
    // Without one, tokens for any audience would be good: what the types promise is not relied on.
    if (typeof profile.audience !== 'string' || profile.audience === '') mistakes.push(`${name}: audience is empty`);
    for (const algorithm of profile.algorithms ?? []) {
      if (!asymmetric.has(algorithm)) mistakes.push(`${name}: algorithm ${algorithm} is not an asymmetric signature`);
    }
    if (profile.algorithms?.length === 0) mistakes.push(`${name}: algorithms is empty`);
  }
  return mistakes;
}

/** Keys that come over plain HTTP could be anyone's. */
export function isTrustworthyUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  if (url.protocol === 'https:') return true;
  return url.protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
}
