import postgres from 'postgres';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkHistory } from '../setup/check-history.ts';
import { type CoordinatorProcess, coordinatorProcess } from '../setup/coordinator-process.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';
import { startTestIdentityProvider, type TestIdentityProvider } from '../setup/identity-provider.ts';
import { type Load, startLoad } from './load.ts';

let database: TestDatabase;
let identity: TestIdentityProvider;
let sql: postgres.Sql;
let nodes: CoordinatorProcess[];
let load: Load | undefined;

beforeEach(async () => {
  [database, identity] = await Promise.all([createTestDatabase(), startTestIdentityProvider()]);
  sql = postgres(database.url, { max: 1, onnotice: () => undefined });
  nodes = [];
  load = undefined;
});

afterEach(async () => {
  await load?.stop();
  await Promise.all(nodes.map((node) => node.kill()));
  await sql.end();
  await Promise.all([database.drop(), identity.stop()]);
});

async function startNodes(count: number, settings: Record<string, string> = {}): Promise<CoordinatorProcess[]> {
  for (let n = 1; n <= count; n += 1) {
    const options = { databaseUrl: database.url, issuer: identity.issuer, name: `node-${n}`, settings };
    nodes.push(await coordinatorProcess(options));
  }
  await Promise.all(nodes.map((node) => node.start()));
  return nodes;
}

test('a coordinator killed in the middle of 1,000 tasks and started again loses none and burns no attempt', async () => {
  // However long a busy machine takes to start it again, that is within a lease.
  const [node] = await startNodes(1, { DSTC_LEASE_MS: '60000' });
  if (node === undefined) throw new Error('no node');
  load = await startLoad({ identity, addresses: [node.grpcAddress], taskMs: 20 });
  const submitted = load.submit(1_000);
  await load.untilHandled(250);
  await node.kill();
  await node.start();
  await submitted;
  await load.untilEnded(sql, 20_000);

  const report = await checkHistory(sql, load.acknowledged);
  expect(report).toMatchObject({ tasks: 1_000, byState: { SUCCEEDED: 1_000 }, attemptMax: 1 });
  expect(report.byKind.lease_lost).toBeUndefined();
}, 60_000);

test('two coordinators share the work, and when one is killed the other one does it all', async () => {
  const [one, other] = await startNodes(2);
  if (one === undefined || other === undefined) throw new Error('no nodes');
  const addresses = [one.grpcAddress, other.grpcAddress];
  load = await startLoad({ identity, addresses, taskMs: 20, worker: { concurrency: 5 } });
  // Each worker begins with any of the nodes: there are enough of them once both serve one.
  const served = async () => (await sql`SELECT DISTINCT node FROM worker_session`).length;
  while ((await served()) < 2 && load.handled.length < 20) await load.addWorker();
  expect(await served()).toBe(2);
  await load.submit(400);
  await load.untilHandled(100);
  await other.kill();
  const before = load.handled.map(({ runs }) => runs);
  await load.untilEnded(sql, 20_000);

  const report = await checkHistory(sql, load.acknowledged);
  expect(report).toMatchObject({ tasks: 400, byState: { SUCCEEDED: 400 }, attemptMax: 1 });
  for (const [index, { runs }] of load.handled.entries()) expect(runs).toBeGreaterThan(before[index] ?? 0);
}, 60_000);

test('a coordinator that is asked to stop hands its workers over and exits with 0, and no attempt is burnt', async () => {
  const [one, other] = await startNodes(2);
  if (one === undefined || other === undefined) throw new Error('no nodes');
  load = await startLoad({ identity, addresses: [one.grpcAddress, other.grpcAddress], taskMs: 20 });
  const submitted = load.submit(400);
  await load.untilHandled(100);
  const askedMs = performance.now();
  expect(await one.terminate()).toBe(0);
  expect(performance.now() - askedMs).toBeLessThan(10_000);
  await one.start();
  await submitted;
  await load.untilEnded(sql, 20_000);
  expect(await checkHistory(sql, load.acknowledged)).toMatchObject({ byState: { SUCCEEDED: 400 }, attemptMax: 1 });
}, 60_000);
