/** Who is calling, from a verified token. */
export interface Principal {
  readonly issuer: string;
  readonly subject: string;
  /** Unset when the token names no client. */
  readonly clientId: string | undefined;
  /** `<subject>@<issuer host>`: stands in histories, so it must mean the same for ever. */
  readonly actor: string;
  /** The subject, for people to read. */
  readonly name: string;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly expiresAt: Date;
}

/** `claims` must have been verified, with `iss`, `sub` and `exp` in them. */
export function principalOf(claims: Readonly<Record<string, unknown>>): Principal {
  const { iss, sub, exp, client_id: clientId } = claims;
  if (typeof iss !== 'string' || typeof sub !== 'string' || typeof exp !== 'number') {
    throw new Error('a token passed verification without iss, sub or exp');
  }
  return Object.freeze({
    issuer: iss,
    subject: sub,
    clientId: typeof clientId === 'string' ? clientId : undefined,
    actor: `${sub}@${new URL(iss).host}`,
    name: sub,
    claims: Object.freeze(claims),
    expiresAt: new Date(exp * 1_000),
  });
}

/** Whether two tokens speak for the same party. */
export function samePrincipal(a: Principal, b: Principal): boolean {
  return a.issuer === b.issuer && a.subject === b.subject && a.clientId === b.clientId;
}
