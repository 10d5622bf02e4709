import { createHmac, createPublicKey } from 'node:crypto';
import { request } from 'node:http';
import { createClient } from '@connectrpc/connect';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, refusalOf, startRig, transportNames } from './rig.ts';

let rig: Rig;

beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());

const now = () => Math.floor(Date.now() / 1_000);
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Claims of a good token, for tokens that are not signed as they should be. */
const claims = () => ({
  iss: rig.identity.issuer,
  aud: rig.identity.audience,
  sub: 'producer',
  client_id: 'producer',
  iat: now(),
  exp: now() + 600,
});
const kid = () => String(rig.identity.signingKey.kid);

async function signedByStranger(header: (jwk: object) => object): Promise<string> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  const extra = header(await exportJWK(publicKey));
  return new SignJWT(claims())
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: kid(), ...extra })
    .sign(privateKey);
}

function signedWithPublicKey(): string {
  const pem = createPublicKey({ key: { ...rig.identity.signingKey, d: undefined }, format: 'jwk' } as never).export({
    type: 'spki',
    format: 'pem',
  });
  const input = `${encode({ alg: 'HS256', typ: 'at+jwt', kid: kid() })}.${encode(claims())}`;
  return `${input}.${createHmac('sha256', pem).update(input).digest('base64url')}`;
}

const tokens: Readonly<Record<string, () => string | Promise<string>>> = {
  'no JWT': () => 'hunter2',
  'alg none': () => `${encode({ alg: 'none', typ: 'at+jwt' })}.${encode(claims())}.`,
  'HS256 with the public key': signedWithPublicKey,
  'another key under the known id': () => signedByStranger(() => ({})),
  'an embedded key': () => signedByStranger((jwk) => ({ jwk })),
  'a key of its own address': () => signedByStranger(() => ({ jku: 'http://127.0.0.1:1/jwks' })),
  'an unknown key id': () => signedByStranger(() => ({ kid: 'invented' })),
  'another issuer': () => rig.identity.forge({ iss: 'https://elsewhere.example' }),
  'another audience': () => rig.identity.forge({ aud: 'another' }),
  'the type of an ID token': () => rig.identity.forge({}, { typ: 'JWT' }),
  'no expiry': () => rig.identity.forge({ exp: undefined as never }),
  'an expiry that has passed': () => rig.identity.forge({ iat: now() - 700, exp: now() - 100 }),
  'an issue time in the future': () => rig.identity.forge({ iat: now() + 600, exp: now() + 900 }),
  'no issue time': () => rig.identity.forge({ iat: undefined as never }),
  'no subject': () => rig.identity.forge({ sub: undefined as never }),
  'a signature cut short': async () => (await rig.identity.forge()).slice(0, -4),
  '20 KB': () => 'a'.repeat(20_000),
};

describe.each(transportNames)('over %s', (name) => {
  it.each(Object.keys(tokens))('refuses a token with %s', async (kind) => {
    const token = await tokens[kind]?.();
    const tasks = createClient(TaskService, rig.transports[name]);
    const calls = rig.seen.calls;
    const refusal = await refusalOf(tasks.submitTask({ type: 'x' }, { headers: { authorization: `Bearer ${token}` } }));
    expect(refusal).toMatchObject({ code: 'Unauthenticated', reason: 'TOKEN_INVALID', infos: 1 });
    expect(refusal.message).not.toContain(token);
    expect(rig.seen.calls).toBe(calls);
    expect(rig.log.join('')).not.toContain(token);
  });

  it.each(['Basic cHJvZHVjZXI6c2VjcmV0', 'Bearer', 'Bearer a b', 'Bearer a,Bearer b'])(
    'refuses the header authorization: %s',
    async (authorization) => {
      const tasks = createClient(TaskService, rig.transports[name]);
      const refusal = await refusalOf(tasks.submitTask({ type: 'x' }, { headers: { authorization } }));
      expect(refusal).toMatchObject({ code: 'Unauthenticated', reason: 'TOKEN_INVALID', infos: 1 });
    },
  );
});

it('refuses two tokens over HTTP even when both are good', async () => {
  const { authorization } = await rig.bearer();
  const status = await new Promise((resolve, reject) => {
    const headers = [
      'authorization',
      authorization,
      'authorization',
      authorization,
      'content-type',
      'application/json',
      'host',
      'x',
    ];
    request(`${rig.httpUrl}/dstc.v1.TaskService/SubmitTask`, { method: 'POST', headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end('{"type":"x"}');
  });
  expect(status).toBe(401);
});
