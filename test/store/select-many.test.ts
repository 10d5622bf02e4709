import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { openDatabase } from '../../server/store/database.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { selectTaskPositions } from '../../server/store/select-tasks.ts';
import { createTestDatabase } from '../setup/database.ts';
import { newTask } from './rows.ts';

test('a node may ask where more tasks are than a statement has parameters', async () => {
  const testDatabase = await createTestDatabase();
  const database = openDatabase({ url: testDatabase.url, connections: 1, applicationName: 'many' });
  try {
    const inserted = await database.run((sql) => insertTasks(sql, [newTask]));
    const ids = [...Array.from({ length: 70_000 }, () => randomUUID()), ...inserted.map(({ id }) => id)];
    const found = await database.query((orm) => selectTaskPositions(orm, ids));
    expect(found).toEqual([{ id: inserted[0]?.id, state: 'PENDING', eventSequence: 1 }]);
  } finally {
    await database.close();
    await testDatabase.drop();
  }
});
