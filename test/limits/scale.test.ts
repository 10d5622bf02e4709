import { expect, test } from 'vitest';
import { byTenant, noLimits, startClaimRig } from './rig.ts';

const keys = 10_000;
const tasksOfKey = 10;
const types = 100;
const tasksOfType = 1_000;

test('reads about as many entries as it leases, out of 200,000 that wait under 100 types and 10,000 keys', async () => {
  // One connection, so that it can be told to publish what it has read.
  const rig = await startClaimRig({ connections: 1 });
  try {
    await rig.apply('keyed', byTenant);
    await rig.apply('bounded', { ...byTenant, concurrencyMax: 1_000, concurrencyPerKeyMax: 2 });
    await rig.sql`
      INSERT INTO task (id, namespace, type, limit_key, state, priority, attempts_max, create_time, available_time, run_ms,
        labels, input, input_content_type, creator)
      SELECT gen_random_uuid(), 'default', type, key, 'PENDING', 4, 1, now(), now() - interval '1 hour', 1000, '{}', '',
        'application/json', 'test'
      FROM (
        SELECT 'plain-' || (n % ${types}::int) AS type, '' AS key FROM generate_series(1, ${types * tasksOfType}::int) AS n
        UNION ALL
        SELECT CASE WHEN n % 2 = 0 THEN 'keyed' ELSE 'bounded' END, 'key-' || (n % ${keys}::int)
        FROM generate_series(1, ${keys * tasksOfKey}::int) AS n
      ) AS made`;
    await rig.sql`ANALYZE task`;

    /** Entries of the index of waiting tasks that one claim reads. */
    async function entriesRead(type: string): Promise<number> {
      const before = await entries();
      expect((await node.claim(type, 100)).leased).toHaveLength(100);
      return (await entries()) - before;
    }
    async function entries(): Promise<number> {
      await rig.database.run((sql) => sql`SELECT pg_stat_force_next_flush()`);
      const [row] = await rig.sql<{ count: number }[]>`
        SELECT idx_tup_read::int AS count FROM pg_stat_user_indexes WHERE indexrelname = 'task_pending'`;
      return row?.count ?? Number.NaN;
    }

    const node = rig.node();
    for (const type of ['plain-7', 'keyed', 'bounded']) {
      expect(await entriesRead(type)).toBeGreaterThan(0);
      expect(await entriesRead(type), type).toBeLessThan(600);
    }
    await rig.apply('plain-8', { ...noLimits, concurrencyMax: 100 });
    expect(await entriesRead('plain-8')).toBeLessThan(600);
  } finally {
    await rig.stop();
  }
}, 120_000);
