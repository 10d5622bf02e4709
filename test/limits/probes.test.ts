import { afterAll, beforeAll, expect, test } from 'vitest';
import { insertSystemEvents } from '../../server/store/insert-system-events.ts';
import { byTenant, type ClaimRig, noLimits, startClaimRig } from './rig.ts';

let rig: ClaimRig;
beforeAll(async () => {
  rig = await startClaimRig();
});
afterAll(() => rig.stop());

const probes = 3;

/** What a type may have besides a circuit that is about to let probes through. */
const kinds = {
  plain: null,
  'limited in what runs': { ...noLimits, concurrencyMax: 20 },
  'limited to less than its probes': { ...noLimits, concurrencyMax: 2 },
  'with keys that take turns': byTenant,
};

test.each(Object.entries(kinds))(
  'claims at once never lease more probes than there may: a type that is %s',
  async (kind, limits) => {
    const type = kind.replaceAll(/\W/g, '-');
    await rig.apply(type, limits);
    await rig.sql`UPDATE task_type SET circuit_breaker = ${rig.sql.json({ probes })} WHERE name = ${type}`;
    await rig.insert(
      type,
      Array.from({ length: 60 }, (_, n) => ({ limitKey: limits === byTenant ? `tenant-${n % 7}` : '' })),
    );
    const nodes = Array.from({ length: 4 }, () => rig.node());
    for (let round = 1; round <= 5; round += 1) {
      await rig.sql`DELETE FROM task_gate`;
      await rig.sql`UPDATE task SET state = 'PENDING', lease_id = NULL, session_id = NULL WHERE type = ${type}`;
      await rig.sql`
      INSERT INTO task_gate (namespace, type, circuit, probe_time) VALUES ('default', ${type}, 'OPEN', now())`;
      const opening = { namespace: 'default', subject: type, actor: 'test' };
      await rig.database.run((sql) => insertSystemEvents(sql, [{ ...opening, kind: 'circuit.opened' }]));
      await Promise.all([...nodes, ...nodes, ...nodes].map((node) => node.claim(type, 10)));
      // One more, now that nobody holds the gate.
      await nodes[0]?.claim(type, 10);
      const running = await rig.sql<{ id: string }[]>`
      SELECT id FROM task WHERE type = ${type} AND state = 'RUNNING' ORDER BY id`;
      expect(running).toHaveLength(Math.min(probes, limits?.concurrencyMax ?? probes));
      const [gate] = await rig.sql<{ circuit: string; probes: { taskId: string }[] }[]>`
      SELECT circuit, probes FROM task_gate WHERE type = ${type}`;
      expect(gate?.circuit).toBe('HALF_OPEN');
      expect(gate?.probes.map(({ taskId }) => taskId).toSorted()).toEqual(running.map(({ id }) => id));
      // Told once, however many claims have leased probes.
      const events = await rig.sql<{ kind: string }[]>`
      SELECT kind FROM system_event WHERE subject = ${type} AND kind LIKE 'circuit.%' ORDER BY sequence`;
      const each = ['circuit.opened', 'circuit.half_opened'];
      expect(events.map(({ kind }) => kind)).toEqual(Array.from({ length: round }, () => each).flat());
    }
  },
);

test('a circuit whose time is not over, or that is forced open, lets nothing through', async () => {
  await rig.apply('shut', null);
  await rig.insert('shut', [{}]);
  const node = rig.node();
  for (const [circuit, probeTime] of [
    ['OPEN', '1 hour'],
    ['FORCED_OPEN', '-1 hour'],
  ] as const) {
    await rig.sql`DELETE FROM task_gate`;
    await rig.sql`
      INSERT INTO task_gate (namespace, type, circuit, probe_time)
      VALUES ('default', 'shut', ${circuit}::text::circuit_state, now() + ${probeTime}::text::interval)`;
    expect((await node.claim('shut', 10)).leased).toEqual([]);
  }
});
