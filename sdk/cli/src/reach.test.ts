import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { requireListener } from './reach.ts';

async function listener() {
  const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = server.address();
  return { server, address: `127.0.0.1:${typeof at === 'object' && at !== null ? at.port : 0}` };
}

test('says at once that nobody listens', async () => {
  const { server, address } = await listener();
  await requireListener({}, address);
  server.close();
  await once(server, 'close');
  await expect(requireListener({}, address)).rejects.toThrow(`nobody listens at ${address}; start a coordinator`);
});

test('leaves it to the proxy where there is one, and odd addresses to the SDK', async () => {
  const { server, address } = await listener();
  server.close();
  await once(server, 'close');
  await requireListener({ HTTPS_PROXY: 'http://proxy:3128' }, address);
  await requireListener({}, 'localhost');
  await requireListener({}, 'not an address');
});
