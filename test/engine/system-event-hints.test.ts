import { create } from '@bufbuild/protobuf';
import { TaskTypeSchema } from '@dstc/contract/dstc/v1/task_type_pb';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { taskTypeOf } from '../../server/doors/convert/task-type.ts';
import { assembleEngine } from '../../server/engine/engine.ts';
import type { WorkerInfo } from '../../server/engine/sessions.ts';
import { sweepDrainedSessions, sweepExpiredSessions } from '../../server/engine/sweep.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';

let testDatabase: TestDatabase;
let database: Database;
/** Without what time brings about. */
let engine: ReturnType<typeof assembleEngine>;
let hints = 0;
beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.url, connections: 2, applicationName: 'hints' });
  const options = { node: 'node', leaseMs: 60_000, payloadBytesMax: 1_000, historyDays: 1 };
  engine = assembleEngine({ database, log: pino({ level: 'silent' }) }, options);
  engine.wake.eventsWritten.listen(() => {
    hints += 1;
  });
});
afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

const type = taskTypeOf(create(TaskTypeSchema, { name: 'work' }));
const info: WorkerInfo = {
  ...{ namespace: 'default', actor: 'worker', may: () => true, slots: 1, slotsByType: new Map([['work', 1]]) },
  ...{ labels: {}, sdkName: '', sdkVersion: '', buildVersion: '' },
};

test('whoever reads events hears of each that was written, once it can be read, and of nothing else', async () => {
  const { types, gates, sessions, drain, policyRecord } = engine;
  const change = { namespace: 'default', type: 'work', actor: 'ada', reason: '' };
  const by = { actor: 'ada', expectedEtag: undefined };
  const created = [await sessions.create(info), await sessions.create(info)];
  const [closing, draining] = created.map(({ sessionId }) => sessionId);
  if (closing === undefined || draining === undefined) throw new Error('two sessions were begun');
  const deps = { database, wake: engine.wake };
  const steps: readonly (readonly [told: boolean, step: () => Promise<unknown>])[] = [
    [true, () => types.apply(type, by)],
    [true, () => gates.pause(change)],
    [false, () => gates.pause(change)],
    [true, () => gates.resume(change)],
    [false, () => gates.resume(change)],
    [true, () => gates.setCircuit(change, 'FORCED_OPEN')],
    [false, () => gates.setCircuit(change, 'FORCED_OPEN')],
    [true, () => types.delete(type, by)],
    [true, () => sessions.create(info)],
    [true, () => drain({ ...change, sessionId: draining, withinMs: 0 })],
    [true, () => sweepDrainedSessions(deps)],
    [false, () => sweepDrainedSessions(deps)],
    [false, () => drain({ ...change, sessionId: draining, withinMs: 0 })],
    [false, () => sessions.end(sessions.attach(closing, info, outlet))],
    [true, () => sweepExpiredSessions(deps)],
    [false, () => sweepExpiredSessions(deps)],
    [false, () => policyRecord.turn()],
    [true, () => take('one')],
    [false, () => take('one')],
    [true, () => take('two')],
  ];
  for (const [index, [isTold, step]] of steps.entries()) {
    hints = 0;
    await step();
    expect({ index, hints }).toEqual({ index, hints: isTold ? 1 : 0 });
  }
});

test('a worker that comes back after its goodbye, before its session is swept, goes on and is not told to have ended', async () => {
  const { sessions } = engine;
  const claim = await sessions.create(info);
  await sessions.end(sessions.attach(claim.sessionId, info, outlet));
  await sessions.prove(info, claim);
  const swept = await sweepExpiredSessions({ database, wake: engine.wake });
  expect(swept).toMatchObject({ applied: [], isFull: false });
  await expect(sessions.prove(info, claim)).resolves.toBeUndefined();
  const kinds = await database.run(
    (sql) => sql<{ kind: string }[]>`SELECT kind FROM system_event WHERE subject = ${claim.sessionId}`,
  );
  expect(kinds.map(({ kind }) => kind)).toEqual(['worker_session.started']);
});

function take(digest: string): Promise<void> {
  engine.policyRecord.took(digest);
  return engine.policyRecord.turn();
}

/** Nobody is at the other end. */
const outlet = {
  assign: () => undefined,
  cancel: () => undefined,
  stop: () => undefined,
  lost: () => undefined,
  isCongested: () => false,
};
