import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { insertSystemEvents, type NewSystemEvent } from '../../server/store/insert-system-events.ts';
import { deleteOldSystemEvents } from '../../server/store/retention.ts';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';

let testDatabase: TestDatabase;
let database: Database;
let sql: postgres.Sql;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase({ url: testDatabase.url, connections: 2, applicationName: 'retention' });
  sql = postgres(testDatabase.url, { max: 2 });
});

afterAll(async () => {
  await sql.end();
  await database.close();
  await testDatabase.drop();
});

const days = 30;
const about = { namespace: 'default', actor: 'test' };

async function record(daysAgo: number, event: Pick<NewSystemEvent, 'kind' | 'subject'>): Promise<void> {
  await database.run((run) => insertSystemEvents(run, [{ ...about, ...event }]));
  await sql`
    UPDATE system_event SET time = now() - ${daysAgo}::int * interval '1 day'
    WHERE id = (SELECT max(id::text)::uuid FROM system_event WHERE subject = ${event.subject})`;
}

async function left(subject: string): Promise<string[]> {
  const rows = await sql<{ told: string }[]>`
    SELECT kind || ' ' || sequence AS told FROM system_event WHERE subject = ${subject} ORDER BY sequence`;
  return rows.map(({ told }) => told);
}

test('old events go in steps, all but the last one of what there is, so that its sequence goes on', async () => {
  for (const kind of ['task_type.applied', 'task_type.paused', 'task_type.resumed'] as const)
    await record(40, { kind, subject: 'quiet' });
  await record(40, { kind: 'task_type.applied', subject: 'busy' });
  await record(29, { kind: 'task_type.paused', subject: 'busy' });
  await record(40, { kind: 'worker_session.started', subject: 'alive' });
  for (const kind of ['worker_session.started', 'worker_session.ended'] as const)
    await record(40, { kind, subject: 'gone' });
  await record(40, { kind: 'worker_session.started', subject: 'going' });
  await record(29, { kind: 'worker_session.ended', subject: 'going' });

  const steps: number[] = [];
  do {
    steps.push(await database.run((run) => deleteOldSystemEvents(run, { days, eventsMax: 4 })));
  } while (steps.at(-1) === 4);
  expect(steps).toEqual([4, 2]);
  expect(await left('quiet')).toEqual(['task_type.resumed 3']);
  expect(await left('busy')).toEqual(['task_type.paused 2']);
  expect(await left('alive')).toEqual(['worker_session.started 1']);
  expect(await left('gone')).toEqual([]);
  expect(await left('going')).toEqual(['worker_session.ended 2']);

  await database.run((run) => insertSystemEvents(run, [{ ...about, kind: 'task_type.paused', subject: 'quiet' }]));
  expect(await left('quiet')).toEqual(['task_type.resumed 3', 'task_type.paused 4']);
});
