import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { startIdentityProvider } from '../../server/embedded/identity-provider.ts';
import { browser } from '../setup/browser.ts';
import { freePort } from '../setup/free-port.ts';
import { startTestIdentityProvider, type TestIdentityProvider } from '../setup/identity-provider.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';

let provider: TestIdentityProvider;
beforeAll(async () => {
  provider = await startTestIdentityProvider({ accessTokenSeconds: 30 });
});
afterAll(() => provider.stop());

/** What the provider answers in JSON, by field. */
type Answer = Record<string, string>;

const post = (path: string, form: Record<string, string>, headers: Record<string, string> = {}) =>
  fetch(`${provider.issuer}${path}`, { method: 'POST', headers, body: new URLSearchParams(form) });

const answerOf = async (response: Response) => (await response.json()) as Answer;

async function verify(token = '') {
  const discovered = await fetch(`${provider.issuer}/.well-known/openid-configuration`);
  const { jwks_uri: keys = '' }: Answer = await answerOf(discovered);
  const { issuer, audience } = provider;
  return jwtVerify(token, createRemoteJWKSet(new URL(keys)), {
    issuer,
    audience,
    typ: 'at+jwt',
    algorithms: ['ES256'],
  });
}

describe('a program', () => {
  test.each(['producer', 'worker', 'operator'] as const)(
    '%s gets a signed access token for the coordinator',
    async (name) => {
      const { payload } = await verify(await provider.token(name));
      expect(payload).toMatchObject({ sub: name, client_id: name, jti: expect.any(String) });
      expect(Number(payload.exp) - Number(payload.iat)).toBe(30);
    },
  );

  test('gets nothing with a wrong secret', async () => {
    const basic = Buffer.from('producer:wrong').toString('base64');
    const response = await post('/token', { grant_type: 'client_credentials' }, { authorization: `Basic ${basic}` });
    expect(response.status).toBe(401);
  });

  test('gets nothing by the device client, which has no secret', async () => {
    const response = await post('/token', { grant_type: 'client_credentials', client_id: 'dstc-cli' });
    expect(response.status).toBe(400);
    expect(await answerOf(response)).not.toHaveProperty('access_token');
  });
});

describe('a person', () => {
  // The login form counts wrong passwords by address, so each test has a provider of its own.
  beforeEach(async () => {
    await provider.stop();
    provider = await startTestIdentityProvider();
  });

  const grantType = 'urn:ietf:params:oauth:grant-type:device_code';
  const startDevice = async (): Promise<Answer> =>
    answerOf(await post('/device/auth', { client_id: 'dstc-cli', scope: 'openid offline_access' }));
  const poll = async ({ device_code: code = '' }: Answer) =>
    answerOf(await post('/token', { grant_type: grantType, device_code: code, client_id: 'dstc-cli' }));

  async function openLogin() {
    const device = await startDevice();
    const visit = browser();
    const codePage = await visit.get(device.verification_uri ?? '');
    expect(codePage.text).toContain('<label for="code">');
    const confirmation = await visit.submit(codePage, { user_code: device.user_code ?? '' });
    expect(confirmation.text).toContain(device.user_code);
    return { device, visit, login: await visit.submit(confirmation, {}) };
  }

  test('signs in through the device flow and gets a token that can be refreshed', async () => {
    const { device, visit, login } = await openLogin();
    expect(await poll(device)).toMatchObject({ error: 'authorization_pending' });

    const { name, password } = provider.person;
    const done = await visit.submit(login, { name, password });
    expect(done.text).toContain('Signed in');

    const tokens = await poll(device);
    const { payload } = await verify(tokens.access_token);
    expect(payload).toMatchObject({ sub: 'operator', client_id: 'dstc-cli' });

    const refreshed = await post('/token', {
      grant_type: 'refresh_token',
      refresh_token: tokens.refresh_token ?? '',
      client_id: 'dstc-cli',
    });
    expect(decodeJwt((await answerOf(refreshed)).access_token ?? '')).toMatchObject({ aud: 'dstc', sub: 'operator' });
  });

  test('is sent from the address with the code in it to the confirmation', async () => {
    const device = await startDevice();
    const visit = browser();
    const confirmation = await visit.submit(await visit.get(device.verification_uri_complete ?? ''), {});
    expect(confirmation.text).toContain('Connect this device?');
  });

  test('is refused with a wrong password, and then with any for a minute', async () => {
    const { device, visit, login } = await openLogin();
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const refused = await visit.submit(login, { name: 'operator', password: 'wrong' });
      expect([refused.status, refused.text]).toEqual([401, expect.stringContaining('role="alert"')]);
    }
    const blocked = await visit.submit(login, { ...provider.person });
    expect(blocked.status).toBe(429);
    expect(await poll(device)).not.toHaveProperty('access_token');
  });

  test('is told when a code is unknown', async () => {
    const visit = browser();
    const answer = await visit.submit(await visit.get(`${provider.issuer}/device`), { user_code: 'BBBB-BBBB' });
    expect(answer.text).toContain('role="alert"');
  });

  test('cannot reach the login form without a sign-in under way', async () => {
    const response = await fetch(`${provider.issuer}/login/anything`);
    expect(response.status).toBe(400);
  });
});

describe('a restart', () => {
  let dataDir: string;
  beforeEach(async () => {
    dataDir = await temporaryDirectory();
  });
  afterEach(() => rm(dataDir, { recursive: true, force: true }));

  test('keeps the keys and secrets, in a file for this user alone, and prints no warnings', async () => {
    const printed = [vi.spyOn(console, 'warn'), vi.spyOn(console, 'info')];
    const options = { dataDir, host: '127.0.0.1', port: await freePort(), log: () => undefined };
    const keysOf = async (issuer: string) => (await fetch(`${issuer}/jwks`)).json();

    const first = await startIdentityProvider(options);
    const keys = await keysOf(first.issuer);
    await first.stop();
    const second = await startIdentityProvider(options);
    expect(second.clients).toEqual(first.clients);
    expect(await keysOf(second.issuer)).toEqual(keys);
    await second.stop();

    expect((await stat(join(dataDir, 'identity.json'))).mode & 0o777).toBe(0o600);
    for (const spy of printed) expect(spy).not.toHaveBeenCalled();
  });

  test('names the taken port and the variable that changes it', async () => {
    const port = Number(new URL(provider.issuer).port);
    await expect(startIdentityProvider({ dataDir, host: '127.0.0.1', port, log: () => undefined })).rejects.toThrow(
      new RegExp(`${port}.*DSTC_ISSUER_PORT`),
    );
  });
});
