import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DstcError } from '../../server/domain/errors.ts';
import { createPolicyRecord } from '../../server/engine/policy-record.ts';
import { createWake } from '../../server/engine/wake.ts';
import { type Database, openDatabase } from '../../server/store/database.ts';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';

let directory: string;
let coordinator: TestCoordinator;
let sql: postgres.Sql;
let text: string;
beforeAll(async () => {
  directory = await temporaryDirectory();
  text = await readFile(fileURLToPath(new URL('../../server/embedded/policy.yaml', import.meta.url)), 'utf8');
  await write('one', text);
  coordinator = await startTestCoordinator({ DSTC_POLICY_FILE: file('one') });
  sql = postgres(coordinator.databaseUrl, { max: 1 });
});
afterAll(async () => {
  await sql.end();
  await coordinator.stop();
  await rm(directory, { recursive: true, force: true });
});

const file = (node: string) => join(directory, `${node}.yaml`);
const write = (node: string, policy: string) => writeFile(file(node), policy);
const digestOf = (policy: string) => createHash('sha256').update(policy).digest('hex');

async function recorded(): Promise<string[]> {
  const rows = await sql<{ told: string }[]>`
    SELECT concat_ws(' ', sequence, data->>'node', data->>'digest', actor, subject) AS told FROM system_event
    WHERE kind = 'policy.changed' ORDER BY sequence`;
  return rows.map(({ told }) => told);
}
const told = (sequence: number, node: string, policy: string) =>
  `${sequence} ${node} ${digestOf(policy)} system:policy policy`;
const becomes = (expected: string[]) => expect.poll(recorded, { timeout: 8_000 }).toEqual(expected);

test('each node says which policy it has taken, once, and nothing when it starts with the same again', async () => {
  const [second, third] = [`${text}\n# second`, `${text}\n# third`];
  await becomes([told(1, 'node-1', text)]);
  await write('two', second);
  const two = await coordinator.startNode({ DSTC_POLICY_FILE: file('two'), DSTC_NODE_NAME: 'node-2' });
  await becomes([told(1, 'node-1', text), told(2, 'node-2', second)]);

  // Broken, it decides nothing; the other node takes what this one has already, and then both the next one.
  await write('two', 'roles: [');
  await write('one', second);
  await becomes([told(1, 'node-1', text), told(2, 'node-2', second), told(3, 'node-1', second)]);
  await write('one', third);
  const four = [
    told(1, 'node-1', text),
    told(2, 'node-2', second),
    told(3, 'node-1', second),
    told(4, 'node-1', third),
  ];
  await becomes(four);
  await write('two', third);
  await becomes([...four, told(5, 'node-2', third)]);

  await two.stop();
  await coordinator.startNode({ DSTC_POLICY_FILE: file('two'), DSTC_NODE_NAME: 'node-2' });
  await write('one', text);
  await becomes([...four, told(5, 'node-2', third), told(6, 'node-1', text)]);
});

test('a node that starts compares with what it had, or else with what others have', async () => {
  const database = openDatabase({ url: coordinator.databaseUrl, connections: 1, applicationName: 'policy' });
  try {
    const before = (await recorded()).length;
    for (const [node, digests] of [
      ['third', ['b', 'c']],
      ['third', ['c']],
      ['newcomer', ['c']],
      ['newcomer', ['c', 'd']],
      ['third', ['c']],
      ['third', ['b']],
    ] as const) {
      const record = createPolicyRecord({ database, wake: createWake(), node });
      for (const digest of digests) record.took(digest);
      await record.turn();
    }
    const since = (await recorded()).slice(before).map((line) => line.split(' ').slice(1, 3).join(' '));
    expect(since).toEqual(['third b', 'third c', 'newcomer d', 'third b']);
  } finally {
    await database.close();
  }
});

test('a policy that was taken while Postgres was away is written when it is back', async () => {
  const real = openDatabase({ url: coordinator.databaseUrl, connections: 1, applicationName: 'policy' });
  let isAway = true;
  const database: Database = {
    ...real,
    transaction: (call) =>
      isAway ? Promise.reject(new DstcError('DATABASE_UNAVAILABLE', 'away')) : real.transaction(call),
  };
  try {
    const before = (await recorded()).length;
    const record = createPolicyRecord({ database, wake: createWake(), node: 'fourth' });
    for (const digest of ['x', 'x', 'y']) {
      record.took(digest);
      await expect(record.turn()).rejects.toThrow('away');
    }
    isAway = false;
    await record.turn();
    await record.turn();
    expect((await recorded()).slice(before).map((line) => line.split(' ')[2])).toEqual(['x', 'y']);
  } finally {
    await real.close();
  }
});
