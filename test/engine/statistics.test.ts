import { expect, test } from 'vitest';
import { openDatabase } from '../../server/store/database.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { newTask } from '../store/rows.ts';
import { startEngineRig } from './rig.ts';

test('a node has Postgres look again at a table that has grown, whatever autovacuum does', async () => {
  const rig = await startEngineRig();
  const database = openDatabase({ url: rig.coordinator.databaseUrl, connections: 1, applicationName: 'burst' });
  const known = async () => {
    const [row] = await rig.sql<
      { tasks: number }[]
    >`SELECT reltuples::int AS tasks FROM pg_class WHERE relname = 'task'`;
    return row?.tasks;
  };
  try {
    await rig.sql`ALTER TABLE task SET (autovacuum_enabled = false)`;
    await rig.sql`ANALYZE task`;
    expect(await known()).toBe(0);
    for (let batch = 0; batch < 10; batch += 1) {
      await database.run((sql) => insertTasks(sql, Array(500).fill(newTask)));
    }
    await expect.poll(known, { timeout: 10_000 }).toBeGreaterThan(1_000);
  } finally {
    await database.close();
    await rig.stop();
  }
});
