import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ConnectionFlags, findTarget } from './connection.ts';
import { writeLogin } from './login-store.ts';

let folder: string;
let env: NodeJS.ProcessEnv;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dstc-connection-'));
  env = { XDG_CONFIG_HOME: join(folder, 'config') };
});
afterEach(() => rm(folder, { recursive: true }));

const later = new Date(Date.now() + 3_600_000);
const login = (name: string) => ({
  address: `${name}:7420`,
  issuer: 'https://id.example.org',
  clientId: 'dstc-cli',
  tokens: { accessToken: `token-of-${name}`, expiresAt: later },
});

/** Address and token that a command would use. */
async function found(flags: ConnectionFlags = {}, more: NodeJS.ProcessEnv = {}) {
  const { address, credentials } = await findTarget({ env: { ...env, ...more }, folder }, flags, 'operator');
  return { address, token: await credentials.token() };
}

async function startedHere(): Promise<void> {
  const client = (clientId: string) => ({ clientId, clientSecret: 's' });
  const profile = {
    grpcAddress: '127.0.0.1:9999',
    httpAddress: 'http://127.0.0.1:9998',
    issuer: 'http://127.0.0.1:9997',
    clients: { producer: client('producer'), worker: client('worker'), operator: client('operator') },
  };
  await mkdir(join(folder, '.dstc'));
  await writeFile(join(folder, '.dstc', 'dev.json'), JSON.stringify(profile));
}

test('says what to do when there is nothing to go by', async () => {
  await expect(found()).rejects.toThrow(/there is no coordinator to connect to: log in with dstc login/);
});

test('takes the embedded start of this folder', async () => {
  await startedHere();
  const { address } = await findTarget({ env, folder }, {}, 'operator');
  expect(address).toBe('127.0.0.1:9999');
});

test('takes the login before the embedded start', async () => {
  await startedHere();
  await writeLogin(env, 'default', login('default'));
  expect(await found()).toEqual({ address: 'default:7420', token: 'token-of-default' });
});

test('takes the environment before the login', async () => {
  await writeLogin(env, 'default', login('default'));
  expect(await found({}, { DSTC_ADDRESS: 'env:1' })).toEqual({ address: 'env:1', token: 'token-of-default' });
  const both = { DSTC_ADDRESS: 'env:1', DSTC_TOKEN: 'token-of-env' };
  expect(await found({}, both)).toEqual({ address: 'env:1', token: 'token-of-env' });
});

test('takes the flags before the environment', async () => {
  await writeLogin(env, 'other', login('other'));
  const given = { DSTC_ADDRESS: 'env:1', DSTC_TOKEN: 'token-of-env', DSTC_PROFILE: 'none' };
  expect(await found({ profile: 'other' }, { DSTC_TOKEN: 'token-of-env' })).toEqual({
    address: 'other:7420',
    token: 'token-of-other',
  });
  expect((await found({ address: 'flag:1', profile: 'other' }, given)).address).toBe('flag:1');
});

test('takes the login that the environment names', async () => {
  await writeLogin(env, 'other', login('other'));
  expect((await found({}, { DSTC_PROFILE: 'other' })).token).toBe('token-of-other');
  await expect(found({}, { DSTC_PROFILE: 'none' })).rejects.toThrow('there is no login "none"');
});

test('leaves TLS to the address unless told otherwise', async () => {
  await writeLogin(env, 'default', login('default'));
  const tls = async (flags: ConnectionFlags) => (await findTarget({ env, folder }, flags, 'operator')).tls;
  await writeFile(join(folder, 'ca.pem'), 'PEM');
  expect(await tls({})).toBeUndefined();
  expect(await tls({ plaintext: true })).toBe(false);
  expect(await tls({ ca: join(folder, 'ca.pem') })).toEqual({ ca: Buffer.from('PEM') });
  await expect(tls({ plaintext: true, ca: 'x' })).rejects.toThrow('exclude each other');
});
