import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { IssuerProfile } from './issuer.ts';
import { createTokenVerifier } from './tokens.ts';

const log = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** An issuer whose keys and health the test decides. */
interface Issuer {
  readonly url: string;
  keys: JWK[];
  up: boolean;
  keyFetches: number;
  addKey(kid: string): Promise<CryptoKey>;
}

let server: Server;
let issuer: Issuer;
let clockMs: number;

beforeEach(async () => {
  clockMs = 0;
  server = createServer((request, response) => {
    if (request.url === '/jwks') issuer.keyFetches += 1;
    if (!issuer.up) response.writeHead(503).end();
    else if (request.url === '/jwks') response.end(JSON.stringify({ keys: issuer.keys }));
    else response.end(JSON.stringify({ issuer: issuer.url, jwks_uri: `${issuer.url}/jwks` }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  issuer = {
    url: `http://127.0.0.1:${address.port}`,
    keys: [],
    up: true,
    keyFetches: 0,
    async addKey(kid) {
      const { publicKey, privateKey } = await generateKeyPair('ES256');
      issuer.keys.push({ ...(await exportJWK(publicKey)), kid, alg: 'ES256' });
      return privateKey;
    },
  };
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

const verifierOf = (profile: Partial<IssuerProfile> = {}) =>
  createTokenVerifier({ log, now: () => clockMs }, [{ issuer: issuer.url, audience: 'dstc', ...profile }]);

async function sign(key: CryptoKey, kid: string, claims: Record<string, unknown> = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  const jwt = new SignJWT({
    iss: issuer.url,
    aud: 'dstc',
    sub: 'ann',
    client_id: 'cli',
    iat: now,
    exp: now + 600,
    ...claims,
  });
  return jwt.setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid }).sign(key);
}

const refused = { reason: 'TOKEN_INVALID' };

describe('a token verifier', () => {
  it('tells who a good token speaks for', async () => {
    const token = await sign(await issuer.addKey('a'), 'a', { groups: ['ops'] });
    expect(await verifierOf().verify(token)).toMatchObject({
      issuer: issuer.url,
      subject: 'ann',
      clientId: 'cli',
      actor: `ann@${new URL(issuer.url).host}`,
      claims: { groups: ['ops'] },
    });
  });

  it('fetches keys once for many calls at the same time', async () => {
    const key = await issuer.addKey('a');
    const verifier = verifierOf();
    const tokens = await Promise.all(Array.from({ length: 50 }, (_, at) => sign(key, 'a', { jti: String(at) })));
    await Promise.all(tokens.map((token) => verifier.verify(token)));
    expect(issuer.keyFetches).toBe(1);
  });

  it('fetches keys at most once in 30 s however many unknown ones are named', async () => {
    const key = await issuer.addKey('a');
    const verifier = verifierOf();
    await verifier.verify(await sign(key, 'a'));
    clockMs += 31_000;
    const invented = await Promise.all(Array.from({ length: 100 }, (_, at) => sign(key, `invented-${at}`)));
    for (const token of invented) await expect(verifier.verify(token)).rejects.toMatchObject(refused);
    expect(issuer.keyFetches).toBe(2);
  });

  it('takes a new key within 30 s and refuses a withdrawn one within 10 min', async () => {
    const old = await issuer.addKey('old');
    const verifier = verifierOf();
    await verifier.verify(await sign(old, 'old'));
    issuer.keys = [];
    const renewed = await issuer.addKey('new');
    clockMs += 31_000;
    expect(await verifier.verify(await sign(renewed, 'new'))).toMatchObject({ subject: 'ann' });
    await expect(verifier.verify(await sign(old, 'old', { jti: '2' }))).rejects.toMatchObject(refused);
  });

  it('uses known keys for a day while the issuer is down, and no longer', async () => {
    const key = await issuer.addKey('a');
    const verifier = verifierOf();
    await verifier.verify(await sign(key, 'a'));
    issuer.up = false;
    clockMs += 23 * 3_600_000;
    expect(await verifier.verify(await sign(key, 'a', { jti: '2' }))).toMatchObject({ subject: 'ann' });
    clockMs += 2 * 3_600_000;
    await expect(verifier.verify(await sign(key, 'a', { jti: '3' }))).rejects.toMatchObject({
      ...refused,
      retryDelayMs: 5_000,
    });
  });

  it('recovers soon after an issuer that was down at the start', async () => {
    issuer.up = false;
    const key = await issuer.addKey('a');
    const verifier = verifierOf();
    const token = await sign(key, 'a');
    await expect(verifier.verify(token)).rejects.toMatchObject(refused);
    issuer.up = true;
    clockMs += 1_001;
    expect(await verifier.verify(token)).toMatchObject({ subject: 'ann' });
  });

  it('does not take a cached token for good once it has expired', async () => {
    const key = await issuer.addKey('a');
    const verifier = verifierOf({ clockToleranceSeconds: 0 });
    const expiresMs = (Math.floor(Date.now() / 1_000) + 2) * 1_000;
    const token = await sign(key, 'a', { exp: expiresMs / 1_000 });
    await verifier.verify(token);
    await expect.poll(() => Date.now(), { timeout: 4_000 }).toBeGreaterThan(expiresMs);
    await expect(verifier.verify(token)).rejects.toMatchObject(refused);
  });

  it.each([
    ['an age over the limit', { maxAgeSeconds: 60 }, { iat: Math.floor(Date.now() / 1_000) - 120 }],
    ['a missing required claim', { requiredClaims: ['tenant'] }, {}],
    ['an empty subject', {}, { sub: '' }],
    ['a list of audiences without ours', {}, { aud: ['a', 'b'] }],
  ])('refuses a token with %s', async (_, profile, claims) => {
    const key = await issuer.addKey('a');
    await expect(verifierOf(profile).verify(await sign(key, 'a', claims))).rejects.toMatchObject(refused);
  });

  it('refuses discovery that speaks for another issuer', async () => {
    const key = await issuer.addKey('a');
    const other = `${issuer.url}/`;
    const verifier = createTokenVerifier({ log }, [{ issuer: other, audience: 'dstc' }]);
    await expect(verifier.verify(await sign(key, 'a', { iss: other }))).rejects.toMatchObject(refused);
  });

  it.each([undefined, null, 7, ''])('is not made without an audience: %j', (audience) => {
    // As a list that nobody has checked would bring it.
    const profiles = JSON.parse(JSON.stringify([{ issuer: 'https://idp.example', audience }]));
    expect(() => createTokenVerifier({ log }, profiles)).toThrow('audience is empty');
  });

  it('names every mistake in the profiles at once', () => {
    const profiles = [
      { issuer: 'http://idp.example', audience: '' },
      { issuer: 'https://idp.example', audience: 'dstc', algorithms: ['HS256'] },
    ];
    expect(() => createTokenVerifier({ log }, profiles)).toThrow(
      /must be an https URL.*audience is empty.*HS256 is not an asymmetric signature/s,
    );
  });
});
