import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { readConfig } from '../../server/config.ts';
import { startCoordinator } from '../../server/coordinator.ts';
import { createTestDatabase } from '../setup/database.ts';

// Nothing that can be set makes the services fail; a contract that lacks a permission would.
vi.mock('../../server/doors/pipeline.ts', () => ({
  mountServices() {
    throw new Error('an RPC has no permission option');
  },
}));

test('a node that cannot put its services together leaves nothing running', async () => {
  const database = await createTestDatabase();
  const config = readConfig({
    DATABASE_URL: database.url,
    DSTC_ISSUER: 'http://127.0.0.1:1',
    DSTC_POLICY_FILE: fileURLToPath(new URL('../../server/embedded/policy.yaml', import.meta.url)),
    DSTC_GRPC_ADDRESS: '127.0.0.1:0',
    DSTC_HTTP_ADDRESS: '127.0.0.1:0',
  });
  await expect(startCoordinator(config, pino({ level: 'silent' }))).rejects.toThrow('no permission option');
  // Postgres waits for connections that close, and not for those of a node that goes on.
  await database.drop();
});
