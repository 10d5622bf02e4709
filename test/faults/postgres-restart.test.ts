import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema, RetryInfoSchema } from '@dstc/contract/google/rpc/error_details_pb';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../server/embedded/postgres.ts';
import { acceptance, clientsOf, success } from '../engine/rig.ts';
import { checkHistory } from '../setup/check-history.ts';
import { type CoordinatorProcess, coordinatorProcess } from '../setup/coordinator-process.ts';
import { freePort } from '../setup/free-port.ts';
import { startTestIdentityProvider, type TestIdentityProvider } from '../setup/identity-provider.ts';
import { leaseOf, openRawWorker, outcomeOf } from '../setup/raw-worker.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { startLoad } from './load.ts';

let directory: string;
let port: number;
let server: EmbeddedPostgres;
let identity: TestIdentityProvider;
let node: CoordinatorProcess;

beforeAll(async () => {
  [directory, port, identity] = await Promise.all([temporaryDirectory(), freePort(), startTestIdentityProvider()]);
  server = await startPostgres();
  node = await coordinatorProcess({ databaseUrl: server.url, issuer: identity.issuer, name: 'node' });
  await node.start();
});
afterAll(async () => {
  await node.kill();
  await server.stop();
  await identity.stop();
  await rm(directory, { recursive: true, force: true });
});

function startPostgres(): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ dataDir: join(directory, 'postgres'), port, log: () => undefined, fsync: true });
}

/** Stops Postgres as a crash would: nothing is written out, and recovery is left to the next start. */
async function stopPostgresAtOnce(): Promise<void> {
  const sql = postgres(server.url, { max: 1 });
  const [row] = await sql<{ directory: string }[]>`SELECT current_setting('data_directory') AS directory`;
  await sql.end();
  const [pid] = (await readFile(join(row?.directory ?? '', 'postmaster.pid'), 'utf8')).split('\n');
  process.kill(Number(pid), 'SIGQUIT');
  await server.ended;
  await server.stop();
}

test('while Postgres is away calls are answered in time, streams stay open, and nothing is lost', async () => {
  const token = await identity.token('operator');
  const load = await startLoad({ identity, addresses: [node.grpcAddress], taskMs: 20 });
  const clients = clientsOf(node.grpcAddress, token);
  await clients.types.applyTaskType({ taskType: { name: 'raw' } });
  const { task } = await clients.tasks.submitTask({ type: 'raw' });
  const hello = { taskTypes: [{ taskType: 'raw', slots: 1 }], slots: 1 };
  const worker = openRawWorker({ address: node.grpcAddress, token, hello });
  const lease = leaseOf((await worker.assignments(1))[0]);
  worker.send(acceptance(lease));

  const submitted = load.submit(1_000);
  await load.untilHandled(200);
  await stopPostgresAtOnce();
  worker.send(success(lease));
  const limit = { timeoutMs: 2_000 };
  const id = task?.id ?? '';
  const calls = [
    () => clients.tasks.submitTask({ type: 'raw' }, limit),
    () => clients.tasks.submitTasks({ requests: [{ type: 'raw' }, { type: 'raw' }] }, limit),
    () => clients.tasks.getTask({ id }, limit),
    () => clients.tasks.listTasks({}, limit),
    () => clients.tasks.cancelTask({ id }, limit),
    () => clients.types.applyTaskType({ taskType: { name: 'other' } }, limit),
    () => clients.workers.leaseTasks({ taskTypes: ['raw'] }, limit),
    () => clients.workers.listWorkers({}, limit),
  ];
  // Again and again, for longer than the connections need to notice.
  for (let turn = 0; turn < 3; turn += 1) {
    for (const call of calls) expect(await unavailability(call())).toEqual(away);
    await worker.next('ping');
  }

  server = await startPostgres();
  const backMs = performance.now();
  const sql = postgres(server.url, { max: 1, onnotice: () => undefined });
  try {
    expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
    // Its place is free again, and work resumes.
    const next = clients.tasks.submitTask({ type: 'raw' });
    const [assignment] = await worker.assignments(1);
    expect(performance.now() - backMs).toBeLessThan(5_000);
    worker.send(success(leaseOf(assignment)));
    await submitted;
    await load.untilEnded(sql, 20_000);
    const acknowledged = [...load.acknowledged, id, (await next).task?.id ?? ''];
    const report = await checkHistory(sql, acknowledged);
    expect(report).toMatchObject({ byState: { SUCCEEDED: 1_002 }, attemptMax: 1 });
  } finally {
    worker.cut();
    await sql.end();
    await load.stop();
  }
}, 90_000);

test('a node that is started before its Postgres waits for it', async () => {
  await stopPostgresAtOnce();
  const nobody = createServer((socket) => socket.resetAndDestroy()).listen(port, '127.0.0.1');
  await once(nobody, 'listening');
  const early = await coordinatorProcess({ databaseUrl: server.url, issuer: identity.issuer, name: 'early' });
  try {
    const starting = early.start();
    // One that was not there at the first try, and once more.
    for (let tries = 0; tries < 2; tries += 1) {
      const [socket] = await Promise.race([once(nobody, 'connection'), starting.then(() => [])]);
      expect(socket).toBeDefined();
    }
    nobody.close();
    await once(nobody, 'close');
    server = await startPostgres();
    await starting;
    const clients = clientsOf(early.grpcAddress, await identity.token('operator'));
    await clients.tasks.listTasks({});
  } finally {
    nobody.close();
    await early.kill();
  }
}, 90_000);

const away = { code: 'Unavailable', reason: 'DATABASE_UNAVAILABLE', saysWhenToRetry: true };

/** How a call was refused, or what it was answered with. */
async function unavailability(call: Promise<unknown>): Promise<unknown> {
  const error = await call.then(
    (answer) => answer,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConnectError)) return error;
  const [info] = error.findDetails(ErrorInfoSchema);
  const saysWhenToRetry = error.findDetails(RetryInfoSchema).length === 1;
  return { code: Code[error.code], reason: info?.reason, saysWhenToRetry };
}
