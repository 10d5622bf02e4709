import { expect, test } from 'vitest';
import { limits } from '../../server/domain/limits.ts';
import { coordinatorProcess } from '../setup/coordinator-process.ts';
import { createTestDatabase } from '../setup/database.ts';
import { startFaultProxy } from '../setup/fault-proxy.ts';
import { startTestIdentityProvider } from '../setup/identity-provider.ts';

test('a node that is to end while Postgres is silent does not wait for it', async () => {
  const [database, identity] = await Promise.all([createTestDatabase(), startTestIdentityProvider()]);
  const direct = new URL(database.url);
  const proxy = await startFaultProxy(Number(direct.port));
  const far = new URL(database.url);
  far.port = String(proxy.port);
  const node = await coordinatorProcess({ databaseUrl: far.href, issuer: identity.issuer, name: 'node' });
  try {
    await node.start();
    proxy.block();
    const askedMs = performance.now();
    expect(await node.terminate()).toBe(0);
    // Less than a statement has.
    expect(performance.now() - askedMs).toBeLessThan(limits.statementMsMax - 1_000);
  } finally {
    await node.kill();
    await proxy.close();
    await Promise.all([database.drop(), identity.stop()]);
  }
}, 40_000);
