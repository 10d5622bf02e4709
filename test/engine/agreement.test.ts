import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { TaskTypeSchema } from '@dstc/contract/dstc/v1/task_type_pb';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type ControlCommand, isAlreadyDone } from '../../server/domain/control.ts';
import { decide } from '../../server/domain/decide.ts';
import { type Fence, parseLeaseId, parseSessionId, parseTaskId } from '../../server/domain/ids.ts';
import { type Command, commands, type Move, moves } from '../../server/domain/lifecycle.ts';
import { limits, runDeadlineMsDefault } from '../../server/domain/limits.ts';
import { type TaskState, taskStates } from '../../server/domain/task-state.ts';
import { taskTypeOf } from '../../server/doors/convert/task-type.ts';
import { createAccepts } from '../../server/engine/accept.ts';
import { createCircuits } from '../../server/engine/circuits.ts';
import { createControl } from '../../server/engine/control.ts';
import { createDependents, type Dependents } from '../../server/engine/dependents.ts';
import { createProgressReports } from '../../server/engine/progress.ts';
import { createReports } from '../../server/engine/report.ts';
import { sweepExpiredSessions, sweepOverdueTasks } from '../../server/engine/sweep.ts';
import { createTally } from '../../server/engine/tally.ts';
import { createTaskTypes } from '../../server/engine/task-types.ts';
import { createWake } from '../../server/engine/wake.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { insertDependencies, markDependencies } from '../../server/store/insert-dependencies.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { leasePendingTasks, lockDueTasks } from '../../server/store/lease-tasks.ts';
import { acceptCurrentLeases, succeedCurrentLeases } from '../../server/store/report-tasks.ts';
import { selectDependencies } from '../../server/store/select-dependencies.ts';
import { selectTask, selectTaskEvents } from '../../server/store/select-tasks.ts';
import { insertSession } from '../../server/store/sessions.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';
import { expectMove, factsOf, type Looked, type TaskRow } from './agreement/expect-move.ts';

/** What chooses between the rows of one state and command, beside the state. */
interface Circumstances {
  readonly accepted: boolean;
  readonly cancelRequested: boolean;
  readonly attemptsLeft: boolean;
  readonly crashesLeft: boolean;
  readonly retryable: boolean;
  readonly paused: boolean;
  readonly discarded: boolean;
  /** Of a failed task: whether it depends on one that has not ended. */
  readonly waits: boolean;
}

/** A task in some state, with the last lease that it had, if any. */
interface Placed {
  readonly id: string;
  readonly sessionId: string;
  readonly fence: Fence;
}

const namespace = 'default';
const actor = 'worker';
const nobody: Fence = {
  taskId: parseTaskId(randomUUID()),
  attempt: 1,
  leaseId: parseLeaseId(randomUUID()),
};
const log = pino({ level: 'silent' });
const wake = createWake();
let testDatabase: TestDatabase;
let database: Database;
let reports: ReturnType<typeof createReports>;
let control: ReturnType<typeof createControl>;
let dependents: Dependents;
const covered = new Set<Move>();

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.url, connections: 2, applicationName: 'agreement' });
  const accepts = createAccepts({ database, wake, log });
  const progress = createProgressReports({ database, wake, log });
  const types = createTaskTypes({ database, wake });
  await types.apply(taskTypeOf(create(TaskTypeSchema, { name: 'work' })), { actor: 'test', expectedEtag: undefined });
  const circuits = createCircuits({ database, types, wake, log });
  reports = createReports({
    database,
    types,
    accepts,
    progress,
    circuits,
    wake,
    tally: createTally(),
    payloadBytesMax: 1_000,
  });
  control = createControl({ database, types, wake, payloadBytesMax: 1_000 });
  dependents = createDependents({ database, wake, log });
});
afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});
beforeEach(async () => {
  await database.run((sql) => sql`DELETE FROM task`);
  await database.run((sql) => sql`DELETE FROM task_dependency`);
  await database.run((sql) => sql`DELETE FROM worker_session`);
});

describe.each(taskStates)('a task that is %s', (state) => {
  test.each(commands)('does on %s what the table says', { timeout: 120_000 }, async (command) => {
    for (const circumstances of circumstancesOf(state, command)) {
      const placed = await place(state, circumstances);
      await overdue(placed.id, command, circumstances);
      const before = await look(placed.id);
      const move = decide(factsOf(before.row), command, circumstances);
      if (move !== undefined) covered.add(move);
      await run(command, placed, circumstances);
      const after = await look(placed.id);
      const about = `${JSON.stringify(circumstances)}: ${move?.why ?? 'not allowed'}`;
      if (move === undefined) expect(after, about).toEqual(before);
      else expectMove(about, { before, after }, move);
      await database.run((sql) => sql`DELETE FROM task`);
    }
  });
});

test('every row of the table was taken', () => {
  expect(moves.filter((move) => !covered.has(move))).toEqual([]);
});

function circumstancesOf(state: TaskState, command: Command): Circumstances[] {
  const both = [true, false];
  const some = state === 'RUNNING' ? both : [false];
  const marks = [
    { paused: false, discarded: false, waits: false },
    ...(['BLOCKED', 'PENDING', 'RUNNING'].includes(state) ? [{ paused: true, discarded: false, waits: false }] : []),
    ...(state === 'FAILED' ? both.map((waits) => ({ paused: false, discarded: !waits, waits })) : []),
  ];
  return marks.flatMap((marked) =>
    some.flatMap((accepted) =>
      some.flatMap((cancelRequested) =>
        (state === 'RUNNING' || state === 'PENDING' ? both : [true]).flatMap((attemptsLeft) =>
          some.flatMap((isNearEnd) =>
            (command === 'fail' ? both : [true]).map((retryable) => ({
              ...{ ...marked, accepted, cancelRequested, attemptsLeft, crashesLeft: !isNearEnd, retryable },
            })),
          ),
        ),
      ),
    ),
  );
}

async function place(state: TaskState, circumstances: Circumstances): Promise<Placed> {
  const placed = await placeUnmarked(state, circumstances);
  if (circumstances.paused) await order('pause', placed.id);
  if (circumstances.discarded) await order('discard', placed.id);
  if (circumstances.waits) await waitForAnother(placed.id);
  return placed;
}

/** Puts a row into a state the way that production does. */
async function placeUnmarked(state: TaskState, circumstances: Circumstances): Promise<Placed> {
  const { accepted, cancelRequested, attemptsLeft, crashesLeft } = circumstances;
  const attemptsMax = attemptsLeft ? 3 : 1;
  const { id, sessionId } = await insert(attemptsMax, state === 'BLOCKED');
  const untouched = { id, sessionId, fence: { ...nobody, taskId: parseTaskId(id) } };
  if (state === 'PENDING' && attemptsLeft) return untouched;
  if (state === 'SKIPPED') {
    await order('skip', id);
    return untouched;
  }
  if (state === 'BLOCKED') {
    await waitForAnother(id);
    return untouched;
  }
  const fence = await lease(id, sessionId);
  const placed = { id, sessionId, fence };
  const from = { sessionId: parseSessionId(sessionId), namespace, actor, may: () => true };
  switch (state) {
    case 'RUNNING': {
      const crashes = crashesLeft ? 0 : limits.crashesMax - 1;
      await database.run((sql) => sql`UPDATE task SET crashes = ${crashes} WHERE id = ${id}`);
      if (accepted) await database.run((sql) => acceptCurrentLeases(sql, [{ fence, sessionId, actor, agoMs: 0 }]));
      if (cancelRequested) await order('cancel', id);
      break;
    }
    case 'PENDING':
      // Given back: its last lease is still written in it.
      await reports.end(from, { fence, command: 'release' });
      break;
    case 'SUCCEEDED':
      await reports.succeed(from, fence, undefined, { data: new Uint8Array(), contentType: 'application/json' });
      break;
    case 'FAILED':
      await reports.end(from, { fence, command: 'fail', error: { code: 'X', message: '', kind: 'PERMANENT' } });
      break;
    case 'CANCELLED':
      await order('cancel', id);
      await reports.end(from, { fence, command: 'acknowledgeCancel' });
      break;
  }
  const { row } = await look(id);
  expect(row.state).toBe(state);
  return placed;
}

/** Asks for a command the way that people do; a redrive with a wait and another input. */
async function order(command: ControlCommand, id: string): Promise<void> {
  const options = {
    cancel: { graceMs: 60_000 },
    redrive: { delayMs: 3_600_000, input: { data: Buffer.from('2'), contentType: 'application/json' } },
  };
  const given = command === 'cancel' || command === 'redrive' ? options[command] : {};
  await control({ namespace, id, type: 'work', command, actor, reason: 'asked for', ...given });
}

async function insert(
  attemptsMax: number,
  blocked: boolean,
  type = 'work',
): Promise<{ id: string; sessionId: string }> {
  const [inserted] = await database.run((sql) =>
    insertTasks(sql, [
      {
        ...{
          namespace,
          type,
          limitKey: '',
          priority: 4,
          attemptsMax,
          availableTime: null,
          delayMs: 0,
          creator: 'producer',
        },
        ...{
          startMs: 60_000,
          deliveryMs: null,
          heartbeatMs: null,
          runMs: runDeadlineMsDefault,
          totalMs: 60_000,
          retryPolicy: null,
          labels: {},
        },
        ...{ input: Buffer.from('1'), inputContentType: 'application/json', idempotencyKey: null, requestHash: null },
        traceParent: null,
        dependencies: { count: 1, blocked },
      },
    ]),
  );
  const sessionId = await newSession();
  return { id: inserted?.id ?? '', sessionId };
}

/** Makes a task wait for another one; only of a blocked one can that be. Answers with the other's id. */
async function waitForAnother(taskId: string): Promise<string> {
  const { id: dependsOn } = await insert(1, false, 'other');
  await database.run((sql) => markDependencies(sql, [dependsOn]));
  const row = { taskId, position: 0, dependsOn, policy: 'cancel', waits: true, sharesOutput: true } as const;
  await database.run((sql) => insertDependencies(sql, [row]));
  return dependsOn;
}

/** What a task waits for, whatever its state. */
async function dependencyOf(taskId: string): Promise<string> {
  const rows = await database.run((sql) => selectDependencies(sql, taskId));
  return rows[0]?.taskId ?? waitForAnother(taskId);
}

function newSession(): Promise<string> {
  const session = {
    ...{ namespace, principal: actor, secretHash: new Uint8Array(32), node: 'node', taskTypes: {}, slots: 1 },
    ...{ labels: {}, sdkName: '', sdkVersion: '', buildVersion: '' },
  };
  return database.run((sql) => insertSession(sql, session, 60_000));
}

async function lease(taskId: string, sessionId: string): Promise<Fence> {
  const [leased] = await database.run((sql) =>
    leasePendingTasks(sql, [{ taskId, leaseId: randomUUID(), sessionId, actor, counted: false }]),
  );
  if (leased === undefined) throw new Error('a task that was just inserted was not leased');
  return leased.fence;
}

/** Makes the deadline that a command is about pass, whatever the state. */
async function overdue(id: string, command: Command, { cancelRequested }: Circumstances): Promise<void> {
  const past = `now() - interval '1 second'`;
  const column = {
    expireRun: 'run_deadline',
    expireStart: 'start_deadline',
    expireTotal: 'total_deadline',
    // Without the mark there is no grace that could be over.
    revoke: cancelRequested ? 'cancel_deadline' : undefined,
  }[command as string];
  if (column === undefined) return;
  await database.run((sql) => sql.unsafe(`UPDATE task SET ${column} = ${past} WHERE id = '${id}'`));
}

/** Runs a command through what production runs it through. */
async function run(command: Command, placed: Placed, { retryable }: Circumstances): Promise<void> {
  const { id, sessionId, fence } = placed;
  const from = { sessionId: parseSessionId(sessionId), namespace, actor, may: () => true };
  const error = { code: 'BROKEN', message: '', kind: retryable ? 'TRANSIENT' : 'PERMANENT' } as const;
  switch (command) {
    case 'lease': {
      const session = await newSession();
      await database.transaction(async (sql) => {
        const { due } = await lockDueTasks(sql, [{ namespace, type: 'work', tasksMax: 10 }]);
        const leased = await leasePendingTasks(sql, [
          { taskId: id, leaseId: randomUUID(), sessionId: session, actor, counted: false },
        ]);
        // Two guards of one rule: what is found is what may be leased.
        expect(due.map((found) => found.id)).toEqual(leased.map((found) => found.fence.taskId));
      });
      return;
    }
    case 'accept':
      await database.run((sql) => acceptCurrentLeases(sql, [{ fence, sessionId, actor, agoMs: 0 }]));
      return;
    case 'succeed': {
      const output = { output: new Uint8Array(), outputContentType: 'application/json', acceptedAgoMs: 0 };
      await database.run((sql) => succeedCurrentLeases(sql, [{ fence, sessionId, actor, ...output }]));
      return;
    }
    case 'fail':
      await reports.end(from, { fence, command, error });
      return;
    case 'release':
    case 'undeliver':
    case 'acknowledgeCancel':
      await reports.end(from, { fence, command });
      return;
    case 'lose':
      await database.run(
        (sql) => sql`UPDATE worker_session SET expire_time = now() - interval '1 s' WHERE id = ${sessionId}`,
      );
      await sweepExpiredSessions({ database, wake });
      return;
    case 'cancel':
    case 'pause':
    case 'resume':
    case 'skip':
    case 'redrive':
    case 'discard':
      await expectAnswer(placed, command);
      return;
    case 'unblock':
    case 'failDependency':
      await order(command === 'unblock' ? 'skip' : 'cancel', await dependencyOf(id));
      await dependents.moveOn();
      return;
    case 'expireRun':
    case 'expireStart':
    case 'expireTotal':
    case 'revoke':
      await sweepOverdueTasks({ database, wake });
      return;
  }
}

/** Only what neither can be done nor is already so is refused. */
async function expectAnswer({ id }: Placed, command: ControlCommand): Promise<void> {
  const facts = factsOf((await look(id)).row);
  const isFine = decide(facts, command) !== undefined || isAlreadyDone(facts, command);
  const answer = await order(command, id).then(
    () => 'done',
    (error: unknown) => error,
  );
  if (isFine) expect(answer).toBe('done');
  else expect(answer).toMatchObject({ reason: 'STATE_CONFLICT', metadata: { task_id: id, state: facts.state } });
}

async function look(id: string): Promise<Looked> {
  const row = await database.query((orm) => selectTask(orm, namespace, id));
  if (row === undefined) throw new Error(`there is no task ${id}`);
  const of = { taskId: id, since: row.createTime, afterSequence: 0, size: 100 };
  return { row: row as TaskRow, events: await database.query((orm) => selectTaskEvents(orm, of)) };
}
