import { pino } from 'pino';
import postgres from 'postgres';
import { expect, test } from 'vitest';
import { createSnapshotWatch } from '../../server/engine/snapshot-watch.ts';
import { openDatabase } from '../../server/store/database.ts';
import { createTestDatabase } from '../setup/database.ts';

test('warns of a transaction that stays open, again and again but not all the time, and forgets it when it ends', async () => {
  const testDatabase = await createTestDatabase();
  const database = openDatabase({ url: testDatabase.url, connections: 1, applicationName: 'watch' });
  const warnings: { readonly applicationName: string; readonly pid: number }[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void warnings.push(JSON.parse(line)) });
  const bounds = { snapshotAgeMsMax: 20, snapshotWarningEveryMs: 60_000 };
  const watch = createSnapshotWatch({ database, log }, bounds);
  const eager = createSnapshotWatch({ database, log }, { ...bounds, snapshotWarningEveryMs: 0 });
  const forgotten = postgres(testDatabase.url, { max: 1, connection: { application_name: 'a forgotten report' } });
  try {
    await watch.look();
    expect([watch.ageMs(), warnings]).toEqual([0, []]);
    await forgotten.begin('isolation level repeatable read', async (sql) => {
      const [row] = await sql<{ pid: number }[]>`SELECT pg_backend_pid() AS pid, count(*) FROM task`;
      while (watch.ageMs() < bounds.snapshotAgeMsMax) await watch.look();
      await watch.look();
      const warning = expect.objectContaining({ applicationName: 'a forgotten report', pid: row?.pid });
      expect(warnings).toEqual([warning]);
      await eager.look();
      await eager.look();
      expect(warnings).toEqual([warning, warning, warning]);
    });
    await watch.look();
    expect(watch.ageMs()).toBe(0);
  } finally {
    await forgotten.end();
    await database.close();
    await testDatabase.drop();
  }
});
