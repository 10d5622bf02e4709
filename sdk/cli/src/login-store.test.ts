import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loginPath, readLogin, removeLogin, writeLogin } from './login-store.ts';

let env: NodeJS.ProcessEnv;

beforeEach(async () => {
  env = { XDG_CONFIG_HOME: await mkdtemp(join(tmpdir(), 'dstc-login-')) };
});
afterEach(() => rm(String(env.XDG_CONFIG_HOME), { recursive: true }));

const login = { address: 'example.org:7420', issuer: 'https://id.example.org', clientId: 'cli' };

test('remembers a login for the owner alone, and forgets it', async () => {
  const tokens = { accessToken: 'a', refreshToken: 'r', expiresAt: new Date('2030-01-01T00:00:00Z') };
  const path = await writeLogin(env, 'default', { ...login, tokens });
  if (process.platform !== 'win32') expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readLogin(env, 'default')).toEqual({ ...login, tokens });
  expect(await removeLogin(env, 'default')).toBe(true);
  expect(await readLogin(env, 'default')).toBeUndefined();
  expect(await removeLogin(env, 'default')).toBe(false);
});

test('replaces a login without leaving drafts', async () => {
  await writeLogin(env, 'default', login);
  const path = await writeLogin(env, 'default', { ...login, address: 'other:7420' });
  expect(JSON.parse(await readFile(path, 'utf8')).address).toBe('other:7420');
});

test('says what to do about a damaged file', async () => {
  const path = await writeLogin(env, 'default', login);
  await writeFile(path, '{"address":');
  await expect(readLogin(env, 'default')).rejects.toThrow(/is damaged; log in again/);
});

test.each(['', '..', 'a/b', '../x', '.hidden'])('refuses the profile name "%s"', (name) => {
  expect(() => loginPath(env, name)).toThrow(/is no profile name/);
});
