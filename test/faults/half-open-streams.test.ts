import { type Client, createClient, Worker } from '@dstc/sdk';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';
import { type FaultProxy, startFaultProxy } from '../setup/fault-proxy.ts';

/** Both sides have found out by then. */
const foundMsMax = 20_000;

let coordinator: TestCoordinator;
let proxy: FaultProxy;
let address: string;
beforeEach(async () => {
  coordinator = await startTestCoordinator();
  proxy = await startFaultProxy(Number(coordinator.grpcAddress.split(':')[1]));
  address = `127.0.0.1:${proxy.port}`;
});
afterEach(async () => {
  await proxy.close();
  await coordinator.stop();
});

/** Streams of workers that this node believes to be open. */
async function openStreams(): Promise<number> {
  const headers = { authorization: `Bearer ${await coordinator.token('operator')}` };
  const text = await (await fetch(`${coordinator.httpUrl}/metrics`, { headers })).text();
  return Number(/^dstc_worker_sessions (\d+)$/m.exec(text)?.[1]);
}

test('a worker whose packets are swallowed is given up by its node, and goes on elsewhere with its task', async () => {
  const other = await coordinator.startNode();
  const operator: Client = createClient({
    address: coordinator.grpcAddress,
    credentials: coordinator.credentials('operator'),
  });
  await operator.types.apply({ name: 'slow' });
  const moved = Promise.withResolvers<number>();
  const started = Promise.withResolvers<void>();
  const end = Promise.withResolvers<string>();
  const addresses = [address];
  const worker = new Worker({
    addresses,
    credentials: coordinator.credentials('worker'),
    onConnected: ({ resumed }) => resumed && moved.resolve(performance.now()),
    onError: () => undefined,
  });
  worker.handle('slow', () => {
    started.resolve();
    return end.promise;
  });
  await worker.start();
  const handle = await operator.submit('slow');
  await started.promise;
  expect(await openStreams()).toBe(1);

  // The next connection goes straight to the other node.
  addresses[0] = other.grpcAddress;
  proxy.block();
  const blockedMs = performance.now();
  expect((await moved.promise) - blockedMs).toBeLessThan(foundMsMax);
  await expect.poll(openStreams, { timeout: foundMsMax }).toBe(0);
  expect(performance.now() - blockedMs).toBeLessThan(foundMsMax);

  end.resolve('done');
  expect(await handle.result()).toBe('done');
  expect(await operator.get(handle.id)).toMatchObject({ attempt: 1 });
  await worker.stop();
  operator.close();
}, 60_000);

test('a call on a connection whose other end is gone is tried again on a new one', async () => {
  const client = createClient({ address, credentials: coordinator.credentials('operator'), timeoutMs: 60_000 });
  await client.types.apply({ name: 'quick' });
  proxy.halve();
  const halvedMs = performance.now();
  await client.types.get('quick');
  expect(performance.now() - halvedMs).toBeLessThan(foundMsMax);
  client.close();
}, 60_000);
