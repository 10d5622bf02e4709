import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase } from '../../server/store/database.ts';
import { deleteOutlivedTasks } from '../../server/store/retention.ts';
import { refusalOf } from '../doors/rig.ts';
import { checkHistory } from '../setup/check-history.ts';
import { statementsWait } from '../setup/statements-wait.ts';
import { clientsOf, type EngineRig, startEngineRig } from './rig.ts';

let rig: EngineRig;
/** Of another node. */
let elsewhere: EngineRig['tasks'];
const acknowledged: string[] = [];

beforeAll(async () => {
  rig = await startEngineRig();
  const node = await rig.coordinator.startNode();
  elsewhere = clientsOf(node.grpcAddress, await rig.coordinator.token('operator')).tasks;
});
afterAll(() => rig.stop());

async function submitted(type: string, count: number, deadlines = {}): Promise<string[]> {
  const requests = Array.from({ length: count }, () => ({ type, deadlines }));
  const { results } = await rig.tasks.submitTasks({ requests });
  return results.flatMap(({ result }) => (result.case === 'task' ? [result.value.id] : []));
}

test('a pause and a claim at the same moment: no task is leased while it is paused', async () => {
  const type = await rig.type();
  const ids = await submitted(type, 200);
  acknowledged.push(...ids);
  const pausing = Promise.all(ids.map((id, at) => (at % 2 === 0 ? rig.tasks : elsewhere).pauseTask({ id })));
  const worker = await rig.workerOf(type, 400);
  await pausing;
  await checkHistory(rig.sql, acknowledged, { allEnded: false });
  await Promise.all(ids.map((id, at) => (at % 2 === 0 ? elsewhere : rig.tasks).resumeTask({ id })));
  // Each exactly once, as far as it is not taken back meanwhile: nothing is accepted.
  await worker.assignments(200, 20_000);
  await checkHistory(rig.sql, acknowledged, { allEnded: false });
});

test('a redrive and the end of the retention at the same moment: a task is redriven or gone, never half of it', async () => {
  const type = await rig.type({ retention: { seconds: 60n } });
  const requests = Array.from({ length: 100 }, (_, at) => ({ type, idempotencyKey: `${type}-${at}` }));
  const { results } = await rig.tasks.submitTasks({ requests });
  const ids = results.flatMap(({ result }) => (result.case === 'task' ? [result.value.id] : []));
  await rig.sql`
    UPDATE task SET state = 'FAILED', finished_time = now() - interval '2 minutes' WHERE type = ${type}`;
  const database = openDatabase({ url: rig.coordinator.databaseUrl, connections: 2, applicationName: 'retention' });
  const deleting = (async () => {
    while ((await database.transaction((sql) => deleteOutlivedTasks(sql, 5))) > 0);
  })();
  const answers = await Promise.all(
    ids.map((id, at) =>
      (at % 2 === 0 ? rig.tasks : elsewhere).redriveTask({ id }).then(
        () => 'redriven',
        async (error: unknown) => (await refusalOf(Promise.reject(error))).reason,
      ),
    ),
  );
  await deleting;
  await database.close();
  const left = await rig.sql<{ id: string; key: string | null; state: string }[]>`
    SELECT task.id, key, state FROM task LEFT JOIN idempotency_key ON task_id = task.id WHERE type = ${type}`;
  const redriven = ids.filter((_, at) => answers[at] === 'redriven');
  // Either may win all of them; test/races takes both orders on purpose.
  expect(answers.filter((answer) => answer !== 'redriven' && answer !== 'TASK_NOT_FOUND')).toEqual([]);
  expect(new Set(left.map(({ id }) => id))).toEqual(new Set(redriven));
  expect(left.every(({ key, state }) => key !== null && state === 'PENDING')).toBe(true);
  const keys = await rig.sql`SELECT FROM idempotency_key WHERE key LIKE ${`${type}-%`}`;
  expect(keys).toHaveLength(redriven.length);
  // They were made to fail without a history.
  await rig.sql`DELETE FROM task WHERE type = ${type}`;
  await rig.sql`DELETE FROM task_event WHERE type = ${type}`;
});

test('a resume and the total deadline at the same moment: the task fails once, and no resume follows', async () => {
  const type = await rig.type();
  const ids = await submitted(type, 40, { total: { seconds: 1n } });
  acknowledged.push(...ids);
  await Promise.all(ids.map((id) => rig.tasks.pauseTask({ id })));
  // Until all of them have ended, each is resumed and paused again.
  await Promise.all(
    ids.map(async (id, at) => {
      const tasks = at % 2 === 0 ? rig.tasks : elsewhere;
      for (;;) {
        const refusal = await Promise.all([tasks.resumeTask({ id }), tasks.pauseTask({ id })]).then(
          () => undefined,
          (error: unknown) => refusalOf(Promise.reject(error)),
        );
        if (refusal === undefined) continue;
        expect(refusal.reason).toBe('STATE_CONFLICT');
        return;
      }
    }),
  );
  const codes = await rig.sql`
    SELECT error->>'code' AS code, count(*)::int FROM task WHERE type = ${type} AND state = 'FAILED' GROUP BY 1`;
  expect(codes).toEqual([{ code: 'TOTAL_DEADLINE_EXCEEDED', count: 40 }]);
  await checkHistory(rig.sql, acknowledged, { allEnded: false });
});

test('redrives of one dead letter at the same moment make one', async () => {
  const type = await rig.type();
  const ids = await submitted(type, 20, { start: { nanos: 1_000_000 } });
  acknowledged.push(...ids);
  await Promise.all(ids.map((id) => rig.end(id)));
  const delay = { seconds: 3_600n };
  const answers = await Promise.all(
    ids.flatMap((id) =>
      [rig.tasks, elsewhere, rig.tasks].map((tasks) =>
        tasks.redriveTask({ id, delay }).then(
          () => 'redriven',
          async (error: unknown) => (await refusalOf(Promise.reject(error))).reason,
        ),
      ),
    ),
  );
  expect(answers.filter((answer) => answer === 'redriven')).toHaveLength(20);
  expect(answers.filter((answer) => answer === 'STATE_CONFLICT')).toHaveLength(40);
  await checkHistory(rig.sql, acknowledged, { allEnded: false });
});

test('a task that changes between being found by a filter and being locked is left alone', async () => {
  const type = await rig.type();
  const [taken = '', other = ''] = await submitted(type, 2);
  acknowledged.push(taken, other);
  const bulk = await rig.sql.begin(async (sql) => {
    await sql`SELECT FROM task WHERE id = ${taken} FOR UPDATE`;
    const running = rig.tasks.cancelTasks({ filter: { types: [type], states: [2] } });
    await statementsWait(sql, 1);
    // Somebody pauses it.
    await sql`UPDATE task SET paused_time = now(), event_sequence = 2 WHERE id = ${taken}`;
    await sql`
      INSERT INTO task_event (task_id, sequence, namespace, type, kind, state, attempt, actor)
      VALUES (${taken}, 2, 'default', ${type}, 'paused', 'PENDING', 0, 'somebody')`;
    return { running };
  });
  expect(await bulk.running).toMatchObject({ matched: 2, changed: 1, sampleIds: [other], nextPageToken: '' });
  expect([await rig.state(taken), await rig.state(other)]).toEqual(['PENDING', 'CANCELLED']);
  await checkHistory(rig.sql, acknowledged, { allEnded: false });
});
