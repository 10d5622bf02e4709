import { afterEach, beforeEach, expect, test } from 'vitest';
import { acceptance, clientsOf, success } from '../engine/rig.ts';
import { type CoordinatorProcess, coordinatorProcess } from '../setup/coordinator-process.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';
import { type FaultProxy, startFaultProxy } from '../setup/fault-proxy.ts';
import { startTestIdentityProvider, type TestIdentityProvider } from '../setup/identity-provider.ts';
import { leaseOf, openRawWorker, outcomeOf } from '../setup/raw-worker.ts';

let database: TestDatabase;
let identity: TestIdentityProvider;
let proxy: FaultProxy;
let nodes: CoordinatorProcess[];

beforeEach(async () => {
  [database, identity] = await Promise.all([createTestDatabase(), startTestIdentityProvider()]);
  const direct = new URL(database.url);
  proxy = await startFaultProxy(Number(direct.port));
  const far = new URL(database.url);
  far.port = String(proxy.port);
  nodes = [];
  for (const [name, databaseUrl] of [
    ['far', far.href],
    ['near', direct.href],
  ] as const) {
    const settings = { DSTC_LEASE_MS: '3000' };
    nodes.push(await coordinatorProcess({ databaseUrl, issuer: identity.issuer, name, settings }));
  }
  await Promise.all(nodes.map((node) => node.start()));
});

afterEach(async () => {
  await Promise.all(nodes.map((node) => node.kill()));
  await proxy.close();
  await Promise.all([database.drop(), identity.stop()]);
});

test('a node whose connections died without a word renews its sessions on new ones before another node sweeps them', async () => {
  const address = nodes[0]?.grpcAddress ?? '';
  const token = await identity.token('operator');
  const clients = clientsOf(address, token);
  await clients.types.applyTaskType({ taskType: { name: 'work' } });
  const hello = { taskTypes: [{ taskType: 'work', slots: 1 }], slots: 1 };
  const worker = openRawWorker({ address, token, hello });
  try {
    await clients.tasks.submitTask({ type: 'work' });
    const lease = leaseOf((await worker.assignments(1))[0]);
    worker.send(acceptance(lease));
    await worker.next('ping');
    // More than one connection lies idle by now, and none of them will ever answer.
    await Promise.all(Array.from({ length: 20 }, () => clients.tasks.listTasks({})));
    proxy.halve();
    // Two leases and more.
    for (let pings = 0; pings < 8; pings += 1) await worker.next('ping');
    worker.send(success(lease));
    expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
  } finally {
    worker.cut();
  }
}, 40_000);
