import { clientCredentials, type DevicePrompt, deviceFlow, type TokenSet, userCredentials } from '@dstc/sdk';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { browser } from '../setup/browser.ts';
import { startTestIdentityProvider, type TestIdentityProvider } from '../setup/identity-provider.ts';

let provider: TestIdentityProvider;
beforeAll(async () => {
  provider = await startTestIdentityProvider();
});
afterAll(() => provider.stop());

test('gets a token for a service, keeps it, and gets another one when that is refused', async () => {
  const { issuer, clients } = provider;
  const credentials = clientCredentials({ issuer, ...clients.producer });
  const token = await credentials.token();
  expect(decodeJwt(token)).toMatchObject({ iss: issuer, aud: 'dstc' });
  expect(await credentials.token()).toBe(token);
  const another = await credentials.token({ refused: token });
  expect(another).not.toBe(token);
  expect(await credentials.token({ refused: token })).toBe(another);
});

test('says what is wrong with a secret', async () => {
  const { issuer, clients } = provider;
  const credentials = clientCredentials({ issuer, clientId: clients.producer.clientId, clientSecret: 'wrong' });
  await expect(credentials.token()).rejects.toThrow(
    `the identity provider ${issuer} gave no token to producer: invalid_client, client authentication failed`,
  );
});

test('names the identity provider that is away', async () => {
  const credentials = clientCredentials({ issuer: 'http://127.0.0.1:1', clientId: 'a', clientSecret: 'b' });
  await expect(credentials.token()).rejects.toThrow('the identity provider http://127.0.0.1:1 did not answer');
});

test('signs a person in on another device, and renews what it got', async () => {
  const { issuer } = provider;
  const prompt = Promise.withResolvers<DevicePrompt>();
  const tokens = deviceFlow({ issuer, clientId: 'dstc-cli', onPrompt: prompt.resolve });
  const { verificationUri, userCode } = await prompt.promise;
  await signIn(verificationUri, userCode);

  const signedIn = await tokens;
  expect(decodeJwt(signedIn.accessToken)).toMatchObject({ iss: issuer, aud: 'dstc' });
  const kept: TokenSet[] = [];
  const credentials = userCredentials({
    issuer,
    clientId: 'dstc-cli',
    tokens: signedIn,
    onTokens: (renewed) => void kept.push(renewed),
  });
  expect(await credentials.token()).toBe(signedIn.accessToken);
  const renewed = await credentials.token({ refused: signedIn.accessToken });
  expect(renewed).not.toBe(signedIn.accessToken);
  expect(kept).toMatchObject([{ accessToken: renewed, refreshToken: expect.any(String) }]);
});

async function signIn(verificationUri: string, userCode: string): Promise<void> {
  const visit = browser();
  const confirmation = await visit.submit(await visit.get(verificationUri), { user_code: userCode });
  const login = await visit.submit(confirmation, {});
  const { name, password } = provider.person;
  await visit.submit(login, { name, password });
}
