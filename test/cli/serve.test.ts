import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';
import { startTestIdentityProvider, type TestIdentityProvider } from '../setup/identity-provider.ts';

const bin = fileURLToPath(new URL('../../sdk/cli/bin/dstc.mjs', import.meta.url));
const policyFile = fileURLToPath(new URL('../../server/embedded/policy.yaml', import.meta.url));

let database: TestDatabase;
let identity: TestIdentityProvider;
beforeAll(async () => {
  [database, identity] = await Promise.all([createTestDatabase(), startTestIdentityProvider()]);
});
afterAll(() => Promise.all([database.drop(), identity.stop()]));

test('`dstc serve` drains once when its whole process group is told to end', async () => {
  const child = spawn(process.execPath, [bin, 'serve'], {
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: database.url,
      DSTC_ISSUER: identity.issuer,
      DSTC_POLICY_FILE: policyFile,
      DSTC_GRPC_ADDRESS: '127.0.0.1:0',
      DSTC_HTTP_ADDRESS: '127.0.0.1:0',
      // Belongs to the clients, and must not be in the way.
      DSTC_PROFILE: 'someone',
    },
    // A process group of its own, as a supervisor makes it.
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'exit');
  const said: string[] = [];
  for await (const line of createInterface(child.stderr)) {
    const { msg } = JSON.parse(line) as { readonly msg: string };
    said.push(msg);
    if (msg === 'ready' && child.pid !== undefined) process.kill(-child.pid, 'SIGTERM');
  }
  expect(said).toEqual(['ready', 'draining; once more stops at once', 'stopped']);
  expect(await ended).toEqual([0, null]);
});
