import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { connectionFor, findDevProfile } from './connection.ts';

const profile = {
  grpcAddress: '127.0.0.1:7999',
  httpAddress: 'http://127.0.0.1:7480',
  issuer: 'http://127.0.0.1:7490',
  clients: {
    producer: { clientId: 'p', clientSecret: '1' },
    worker: { clientId: 'w', clientSecret: '2' },
    operator: { clientId: 'o', clientSecret: '3' },
  },
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dstc-sdk-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function writeProfile(content: string): void {
  mkdirSync(join(folder, '.dstc'));
  writeFileSync(join(folder, '.dstc', 'dev.json'), content);
}

test('finds the profile of the embedded start from a folder below', () => {
  writeProfile(JSON.stringify(profile));
  const below = join(folder, 'a', 'b');
  mkdirSync(below, { recursive: true });
  expect(findDevProfile(below)).toEqual(profile);
  expect(connectionFor('worker', { env: {}, folder: below }).address).toBe('127.0.0.1:7999');
});

test('lets the environment win', () => {
  const env = {
    DSTC_ADDRESS: 'coordinator.example:443',
    DSTC_ISSUER: 'https://id.example',
    DSTC_CLIENT_ID: 'me',
    DSTC_CLIENT_SECRET: 'secret',
  };
  expect(connectionFor('producer', { env, folder }).address).toBe('coordinator.example:443');
});

test('says which variables are missing', () => {
  expect(() => connectionFor('producer', { env: { DSTC_CLIENT_ID: 'me' }, folder })).toThrow(
    'DSTC_ISSUER and DSTC_CLIENT_SECRET must be set too',
  );
});

test('says what to do where there is nothing', () => {
  expect(() => connectionFor('producer', { env: {}, folder })).toThrow('npm start');
});

test('refuses a profile that is none', () => {
  writeProfile('{"clients":{}}');
  expect(() => findDevProfile(folder)).toThrow('is not what the embedded start writes');
});
