import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../setup/database.ts';
import { checkHooks } from './check-hooks.ts';
import type { HookRequest } from './hook.ts';
import { createRecord, type HookRecord } from './record.ts';

const taskId = randomUUID();
const id = `${taskId}:4`;
const time = new Date();
const cloudEvent = {
  ...{ specversion: '1.0', id, type: 'dstc.task.failed.v1', subject: taskId, time: time.toISOString() },
  ...{ namespace: 'default', tasktype: 'storm.broken', sequence: '0000000004', actor: 'test' },
  data: {
    task: { id: taskId, type: 'storm.broken', state: 'TASK_STATE_FAILED', attempt: 1 },
    error: { code: 'BROKEN' },
  },
};

let database: TestDatabase;
let sql: postgres.Sql;
beforeAll(async () => {
  database = await createTestDatabase();
  sql = postgres(database.url, { max: 1 });
  // What happens to other types is nothing that the webhook is to get.
  for (const type of ['storm.broken', 'storm.quick']) {
    await sql`
      INSERT INTO task_event (task_id, sequence, time, namespace, type, kind, state, attempt, actor, error)
      VALUES (${type === 'storm.broken' ? taskId : randomUUID()}, 4, ${time}, 'default', ${type}, 'failed', 'FAILED', 1,
        'test', ${sql.json({ code: 'BROKEN' })})`;
  }
});
afterAll(async () => {
  await sql.end();
  await database.drop();
});

const taken: HookRequest = {
  ...{ id, body: JSON.stringify(cloudEvent), atMs: 10_000, answeredMs: 10_010, answer: 'taken', retryAfterMs: 0 },
  ...{ wrong: '', isForeseen: false, signatures: 1 },
};
const throttled: HookRequest = {
  ...taken,
  atMs: 5_000,
  answeredMs: 5_010,
  answer: 'refused with 429',
  retryAfterMs: 4_000,
};
const bodyWith = (changes: object) => JSON.stringify({ ...cloudEvent, ...changes });

async function brokenBy(requests: readonly HookRequest[], hooks: Partial<HookRecord> = {}): Promise<readonly string[]> {
  const record = createRecord();
  Object.assign(record.hooks, hooks);
  record.hooks.requests.push(...requests);
  const properties = await checkHooks(sql, record, 0);
  const words = ['every', 'nothing else', 'signed', 'again'];
  return properties.flatMap(({ name, violations }) =>
    violations.map(() => words.find((word) => name.includes(word)) ?? name),
  );
}

test.each<[what: string, requests: readonly HookRequest[], broken: readonly string[]]>([
  ['taken', [taken], []],
  ['taken, and sent again', [taken, { ...taken, atMs: 11_000 }], []],
  ['taken when it came again', [throttled, taken], []],
  ['never sent', [], ['every']],
  ['refused, and not sent again', [throttled], ['every']],
  ['sent again too soon', [{ ...throttled, retryAfterMs: 5_500 }, taken], ['again']],
  ['sent again with other bytes', [throttled, { ...taken, body: `${taken.body} ` }], ['nothing else']],
  ['told with another end', [{ ...taken, body: bodyWith({ type: 'dstc.task.succeeded.v1' }) }], ['nothing else']],
  [
    'told without its cause',
    [{ ...taken, body: bodyWith({ data: { task: cloudEvent.data.task } }) }],
    ['nothing else'],
  ],
  ['sent with one that nobody knows', [taken, { ...taken, id: `${taskId}:3` }], ['nothing else']],
  ['sent with a signature that is wrong', [{ ...throttled, wrong: 'lacks it' }, taken], ['signed']],
  ['sent while the secret is not known', [{ ...throttled, wrong: 'lacks it', isForeseen: true }, taken], []],
])('an event that is %s breaks what it must', async (_what, requests, broken) => {
  expect(await brokenBy(requests)).toEqual(broken);
});

test('what people have sent at once need not wait, and what would have waited for ever is told', async () => {
  const repair = { atMs: 9_000, replayed: 1 };
  expect(await brokenBy([{ ...throttled, retryAfterMs: 5_500 }, taken], { repair })).toEqual([]);
  expect(await brokenBy([taken], { overdue: [`${id} is PENDING until infinity`] })).toEqual(['every']);
});
