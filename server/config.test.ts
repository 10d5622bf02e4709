import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { temporaryDirectory } from '../test/setup/temporary-directory.ts';
import { ConfigError, readConfig } from './config.ts';
import { limits } from './domain/limits.ts';

const right = {
  DATABASE_URL: 'postgres://dstc@127.0.0.1/dstc',
  DSTC_ISSUER: 'https://id.example.com',
  DSTC_POLICY_FILE: 'policy.yaml',
};

function mistakesOf(environment: Record<string, string>): string {
  try {
    readConfig(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return '';
}

async function file(text: string): Promise<string> {
  const directory = await temporaryDirectory();
  onTestFinished(() => rm(directory, { recursive: true }));
  const path = join(directory, 'dstc.yaml');
  await writeFile(path, text);
  return path;
}

describe('the configuration', () => {
  test('has a default for everything but the database, the policy and the issuer', () => {
    const config = readConfig(right);
    expect(config).toMatchObject({
      ...{ grpcAddress: '127.0.0.1:7420', httpAddress: '127.0.0.1:7480', logLevel: 'info', corsOrigins: [] },
      ...{ leaseMs: limits.leaseMsDefault, historyDays: limits.historyDaysDefault },
      payloadBytesMax: limits.payloadBytesMaxDefault,
      issuers: [{ issuer: 'https://id.example.com', audience: 'dstc' }],
    });
    expect(Object.isFrozen(config)).toBe(true);
    expect(config.nodeName).not.toBe('');
  });

  test('tells every mistake at once', () => {
    const mistakes = mistakesOf({
      DSTC_GRPC_ADDRESS: 'nowhere',
      DSTC_LEASE_MS: '10s',
      DSTC_PAYLOAD_BYTES_MAX: '-1',
      DSTC_LOG_LEVEL: 'loud',
      DSTC_TLS_CERT_FILE: 'cert.pem',
      DSTC_LAESE_MS: '1',
    });
    const names = ['DATABASE_URL', 'DSTC_POLICY_FILE', 'DSTC_GRPC_ADDRESS', 'DSTC_LEASE_MS', 'DSTC_PAYLOAD_BYTES_MAX'];
    for (const name of [
      ...names,
      'DSTC_LOG_LEVEL',
      'DSTC_TLS_KEY_FILE',
      'DSTC_ISSUER',
      'DSTC_LAESE_MS: is not a setting',
    ]) {
      expect(mistakes).toContain(name);
    }
  });

  test.each([
    ['a lease below a second', { DSTC_LEASE_MS: '999' }],
    ['a payload that no message could carry', { DSTC_PAYLOAD_BYTES_MAX: String(limits.messageBytesMax) }],
    ['a fraction of connections', { DSTC_DATABASE_CONNECTIONS: '2.5' }],
    ['an issuer that is no address', { DSTC_ISSUER: 'example' }],
    ['a port that is none', { DSTC_HTTP_ADDRESS: '127.0.0.1:70000' }],
  ])('refuses %s', (_, wrong) => {
    expect(mistakesOf({ ...right, ...wrong })).toContain(Object.keys(wrong)[0]);
  });

  test('reads a file, over which the environment stands', async () => {
    const path = await file('lease_ms: 5000\nlog_level: debug\ncors_origins: [https://a.example, https://b.example]\n');
    const config = readConfig({ ...right, DSTC_CONFIG_FILE: path, DSTC_LOG_LEVEL: 'warn' });
    expect(config).toMatchObject({
      ...{ leaseMs: 5_000, logLevel: 'warn', corsOrigins: ['https://a.example', 'https://b.example'] },
    });
  });

  test('reads several issuers from the file', async () => {
    const path = await file(
      'issuers:\n  - { issuer: https://a.example, audience: x }\n  - { issuer: https://b.example, audience: y }\n',
    );
    const { DSTC_ISSUER: _, ...rest } = right;
    expect(readConfig({ ...rest, DSTC_CONFIG_FILE: path }).issuers.map(({ issuer }) => issuer)).toEqual([
      ...['https://a.example', 'https://b.example'],
    ]);
  });

  test('gives an issuer of the file the audience that is set, or dstc', async () => {
    const path = await file('issuers: [{ issuer: https://a.example }, { issuer: https://b.example, audience: y }]\n');
    const { DSTC_ISSUER: _, ...rest } = right;
    const audiences = (set: object) =>
      readConfig({ ...rest, DSTC_CONFIG_FILE: path, ...set }).issuers.map(({ audience }) => audience);
    expect(audiences({})).toEqual(['dstc', 'y']);
    expect(audiences({ DSTC_AUDIENCE: 'x' })).toEqual(['x', 'y']);
  });

  test.each([
    ['a misspelt audience', 'audiance: other', 'issuers[0]: has an unknown key audiance'],
    ['an audience that is nothing', 'audience:', 'issuers[0].audience: must be string'],
    ['an empty audience', 'audience: ""', 'issuers[0].audience: must NOT'],
    ['a list of audiences', 'audience: [a, b]', 'issuers[0].audience: must be string'],
    ['a misspelt age', 'maxAgeSecond: 900', 'issuers[0]: has an unknown key maxAgeSecond'],
    ['an age in words', 'maxAgeSeconds: 15 minutes', 'issuers[0].maxAgeSeconds: must be integer'],
    ['an age of nothing', 'maxAgeSeconds: 0', 'issuers[0].maxAgeSeconds: must be >= 1'],
    [
      'a clock that may be off by a day',
      'clockToleranceSeconds: 86400',
      'issuers[0].clockToleranceSeconds: must be <=',
    ],
    ['an empty typ', 'typ: ""', 'issuers[0].typ: must NOT'],
    ['claims that are no list', 'requiredClaims: repository', 'issuers[0].requiredClaims: must be array'],
    ['a claim that is no name', 'requiredClaims: [1]', 'issuers[0].requiredClaims[0]: must be string'],
    ['algorithms that are none', 'algorithms: []', 'issuers[0].algorithms: must NOT'],
  ])('refuses an issuer of the file with %s', async (_, text, mistake) => {
    const path = await file(`issuers:\n  - issuer: https://a.example\n    ${text}\n`);
    const { DSTC_ISSUER: __, ...rest } = right;
    expect(mistakesOf({ ...rest, DSTC_CONFIG_FILE: path })).toContain(mistake);
    // What takes the place of the list does not hide what is wrong in it.
    expect(mistakesOf({ ...right, DSTC_CONFIG_FILE: path })).toContain(mistake);
  });

  test.each([
    ['no issuers', 'issuers: https://a.example', 'issuers: must be array'],
    ['an issuer that is a text', 'issuers: [https://a.example]', 'issuers[0]: must be object'],
    ['an issuer without its name', 'issuers: [{ audience: x }]', "issuers[0]: must have required property 'issuer'"],
  ])('refuses a list of issuers with %s', async (_, text, mistake) => {
    expect(mistakesOf({ ...right, DSTC_CONFIG_FILE: await file(text) })).toContain(mistake);
  });

  test.each([
    ['is not there', 'no/such/file.yaml', undefined],
    ['holds a list', undefined, '- 1'],
    ['is no YAML', undefined, 'a: [1'],
    ['has a key that is no setting', undefined, 'laese_ms: 5000'],
  ])('refuses a file that %s', async (_, missing, text) => {
    const path = missing ?? (await file(text ?? ''));
    expect(mistakesOf({ ...right, DSTC_CONFIG_FILE: path })).toMatch(/mistake/);
  });
});
