import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { browser } from '../setup/browser.ts';
import { startTestIdentityProvider, type TestIdentityProvider } from '../setup/identity-provider.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { type DstcOptions, dstc, startDstc } from './dstc.ts';

let provider: TestIdentityProvider;
let home: string;
let options: DstcOptions;
beforeAll(async () => {
  provider = await startTestIdentityProvider();
  home = await temporaryDirectory();
  options = { env: { XDG_CONFIG_HOME: home }, cwd: home };
});
afterAll(async () => {
  await provider.stop();
  await rm(home, { recursive: true, force: true });
});

const loginFile = (profile: string) => join(home, 'dstc', 'logins', `${profile}.json`);
const place = () => ['--issuer', provider.issuer, '--address', 'localhost:1'];

test('logs a person in through any browser and keeps the tokens for the owner alone', async () => {
  const running = startDstc(['login', ...place()], options);
  const [, url = '', code = ''] = await running.seen(/Open (\S+) in a browser and enter the code (\S+)/);
  const visit = browser();
  const confirmation = await visit.submit(await visit.get(url), { user_code: code });
  const { name, password } = provider.person;
  await visit.submit(await visit.submit(confirmation, {}), { name, password });

  expect(await running.ended).toMatchObject({ code: 0, stdout: '' });
  const login = JSON.parse(await readFile(loginFile('default'), 'utf8'));
  expect(login).toMatchObject({ address: 'localhost:1', issuer: provider.issuer, clientId: 'dstc-cli' });
  expect(login.tokens).toMatchObject({ accessToken: expect.any(String), refreshToken: expect.any(String) });
  expect((await stat(loginFile('default'))).mode & 0o777).toBe(0o600);
});

test('logs a client in with a secret from stdin, and out again', async () => {
  const { clientId, clientSecret } = provider.clients.producer;
  const args = ['login', ...place(), '--profile', 'service', '--client-id', clientId, '--client-secret-file', '-'];
  expect(await dstc(args, { ...options, stdin: `${clientSecret}\n` })).toMatchObject({ code: 0 });
  expect(JSON.parse(await readFile(loginFile('service'), 'utf8'))).toMatchObject({ clientId, clientSecret });

  const out = await dstc(['logout', '--profile', 'service'], options);
  expect(out).toMatchObject({ code: 0, stderr: 'forgot the login "service"\n' });
  await expect(stat(loginFile('service'))).rejects.toThrow('ENOENT');
});

test('keeps nothing of a client with a wrong secret, and says why in one line', async () => {
  const args = ['login', ...place(), '--profile', 'wrong', '--client-id', 'producer', '--client-secret', 'wrong'];
  const { code, stderr } = await dstc(args, options);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^dstc: the identity provider .* gave no token to producer: invalid_client.*\n$/);
  await expect(stat(loginFile('wrong'))).rejects.toThrow('ENOENT');
});

test('stops waiting for the person at once on a signal', async () => {
  const running = startDstc(['login', ...place(), '--profile', 'nobody'], options);
  await running.seen(/Waiting/);
  running.child.kill('SIGINT');
  expect(await running.ended).toMatchObject({ code: 130 });
  await expect(stat(loginFile('nobody'))).rejects.toThrow('ENOENT');
});

test('says what is missing', async () => {
  expect(await dstc(['login'], options)).toMatchObject({
    code: 2,
    stderr: 'dstc: name the identity provider with --issuer https://…\n',
  });
  expect(await dstc(['task', 'list', '--profile', 'none'], options)).toMatchObject({
    code: 2,
    stderr: 'dstc: there is no login "none"; make one with dstc login --profile none\n',
  });
});
