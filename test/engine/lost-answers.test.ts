import { AsyncLocalStorage } from 'node:async_hooks';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DstcError } from '../../server/domain/errors.ts';
import type { Fence } from '../../server/domain/ids.ts';
import { retentionMsDefault, retryPolicyDefault, runDeadlineMsDefault } from '../../server/domain/limits.ts';
import { assembleEngine } from '../../server/engine/engine.ts';
import type { LiveSession } from '../../server/engine/live-session.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import type { LeasedTask } from '../../server/store/lease-tasks.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';

/** Set in what one call to the engine brings about, and nothing else: how many answers it loses yet. */
const losses = new AsyncLocalStorage<{ left: number }>();
let testDatabase: TestDatabase;
let database: Database;
/** Without what time brings about: whatever shares a statement with a call decides whether its answer is lost. */
let engine: ReturnType<typeof assembleEngine>;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.url, connections: 4, applicationName: 'lost answers' });
  engine = assembleEngine({ database: losing(database), log: pino({ level: 'silent' }) }, options);
  await engine.types.apply(type, { actor: 'test', expectedEtag: undefined });
});
afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

const options = { node: 'node', leaseMs: 60_000, payloadBytesMax: 1_000, historyDays: 1 };
const type = {
  ...{ namespace: 'default', name: 'work', description: '', inputSchema: null, outputSchema: null },
  ...{
    startMs: null,
    deliveryMs: null,
    heartbeatMs: null,
    runMs: runDeadlineMsDefault,
    totalMs: null,
    priority: 4,
    circuitBreaker: null,
    retentionMs: retentionMsDefault,
    limits: null,
  },
  retryPolicy: retryPolicyDefault,
};

/** The real database, whose answers get lost on the way after the commit. */
function losing(real: Database): Database {
  async function lose<Result>(call: Promise<Result>): Promise<Result> {
    const result = await call;
    const loss = losses.getStore();
    if (loss === undefined || loss.left === 0) return result;
    loss.left -= 1;
    throw new DstcError('DATABASE_UNAVAILABLE', 'the connection was cut behind the commit');
  }
  return {
    ...real,
    run: (call) => lose(real.run(call)),
    transaction: (call) => lose(real.transaction(call)),
    shortTransaction: (call) => lose(real.shortTransaction(call)),
  };
}

function losingOne<Result>(call: () => Result): Result {
  return losses.run({ left: 1 }, call);
}

function submission(key?: string) {
  const nothing = { priority: undefined, availableTime: undefined, retryPolicy: undefined };
  const deadlines = {
    startMs: undefined,
    deliveryMs: undefined,
    heartbeatMs: undefined,
    runMs: undefined,
    totalMs: undefined,
  };
  const input = { data: new Uint8Array(), contentType: 'application/json' };
  const { namespace, name } = type;
  const idempotency = key === undefined ? undefined : { key, inputIdentity: input.data };
  const who = { creator: 'test', labels: {}, delayMs: 0, dependencies: [], idempotency };
  return { namespace, type: name, input, ...nothing, ...deadlines, ...who };
}

/** A session of this node with the assignments that reach it. */
async function join() {
  const arrived: LeasedTask[] = [];
  let wake: (() => void) | undefined;
  const info = {
    ...{ namespace: 'default', actor: 'worker', may: () => true, slots: 1, slotsByType: new Map([['work', 1]]) },
    ...{ labels: {}, sdkName: '', sdkVersion: '', buildVersion: '' },
  };
  const { sessionId } = await engine.sessions.create(info);
  const session = engine.sessions.attach(sessionId, info, {
    assign(tasks) {
      arrived.push(...tasks);
      wake?.();
    },
    cancel: () => undefined,
    stop: () => undefined,
    lost: () => undefined,
    isCongested: () => false,
  });
  return {
    session,
    async next(): Promise<Fence> {
      while (arrived.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const [task] = arrived.splice(0, 1);
      if (task === undefined) throw new Error('woken without an assignment');
      return task.fence;
    },
  };
}

async function kinds(id: string): Promise<string[]> {
  const rows = await database.run(
    (sql) => sql<{ kind: string }[]>`SELECT kind FROM task_event WHERE task_id = ${id} ORDER BY sequence`,
  );
  return rows.map((row) => row.kind);
}

function leave(session: LiveSession): Promise<void> {
  return engine.sessions.end(session);
}

test('a lease whose commit was not heard of goes back, unspent, and is given again', async () => {
  const worker = await join();
  const submitted = await engine.submit(submission());
  const id = submitted.kind === 'inserted' ? submitted.inserted.id : '';
  losingOne(() => engine.dispatch.join(worker.session));
  expect(await worker.next()).toMatchObject({ taskId: id, attempt: 1 });
  expect(await kinds(id)).toEqual(['submitted', 'leased', 'released', 'leased']);
  await leave(worker.session);
});

test('a lease that could not be taken back while Postgres was away is taken back later', async () => {
  const worker = await join();
  const submitted = await engine.submit(submission());
  const id = submitted.kind === 'inserted' ? submitted.inserted.id : '';
  engine.dispatch.join(worker.session);
  const fence = await worker.next();
  losingOne(() => engine.sessions.detach(worker.session));
  await expect
    .poll(async () => {
      await engine.sessions.takeBackUndelivered();
      return kinds(id);
    })
    .toEqual(['submitted', 'leased', 'released']);
  expect(fence.attempt).toBe(1);
});

test('a submission is tried again with its key and finds its task', async () => {
  await expect(losingOne(() => engine.submit(submission('key')))).rejects.toThrow('behind the commit');
  expect(await engine.submit(submission('key'))).toMatchObject({ kind: 'existed' });
});

test.each(['succeed', 'fail', 'release'] as const)('a report is tried again and was recorded: %s', async (command) => {
  const worker = await join();
  engine.dispatch.join(worker.session);
  await engine.submit(submission());
  const fence = await worker.next();
  const report = () => {
    if (command !== 'succeed') return engine.reports.end(worker.session, { fence, command });
    return engine.reports.succeed(worker.session, fence, 'work', submission().input);
  };
  engine.dispatch.leave(worker.session);
  await expect(losingOne(report)).rejects.toThrow('behind the commit');
  expect(await report()).toEqual({ outcome: 'already recorded' });
  await leave(worker.session);
});
