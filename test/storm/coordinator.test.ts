import { once } from 'node:events';
import { open, readFile, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { createTestDatabase } from '../setup/database.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { stormCoordinator } from './coordinator.ts';

test('a coordinator whose port another program has is not waited for, and the port is named', async () => {
  const database = await createTestDatabase();
  onTestFinished(database.drop);
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  onTestFinished(() => void other.close());
  const { port } = other.address() as AddressInfo;
  const directory = await temporaryDirectory();
  onTestFinished(() => rm(directory, { recursive: true }));
  const logFile = join(directory, 'coordinator.log');
  const log = await open(logFile, 'w');
  onTestFinished(() => log.close());
  const coordinator = stormCoordinator({
    program: fileURLToPath(new URL('../../server/main.ts', import.meta.url)),
    ports: [port],
    env: {
      DATABASE_URL: database.url,
      DSTC_POLICY_FILE: fileURLToPath(new URL('../../server/embedded/policy.yaml', import.meta.url)),
      DSTC_ISSUER: 'http://127.0.0.1:1',
      DSTC_GRPC_ADDRESS: `127.0.0.1:${port}`,
      DSTC_HTTP_ADDRESS: '127.0.0.1:0',
    },
    ...{ clockMs: 0, log: log.fd, interrupted: new AbortController().signal },
    ...{ onDeath: () => undefined, onStall: () => undefined },
  });
  await expect(coordinator.start()).rejects.toThrow(`port ${port} of a coordinator is taken by another program`);
  // It was the port, and nothing else.
  expect(await readFile(logFile, 'utf8')).toContain(`port ${port} is in use`);
});
