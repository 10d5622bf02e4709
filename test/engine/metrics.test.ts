import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { leaseOf, outcomeOf } from '../setup/raw-worker.ts';
import { acceptance, type EngineRig, startEngineRig, success } from './rig.ts';

let rig: EngineRig;
let token: string;
beforeAll(async () => {
  rig = await startEngineRig({ DSTC_LEASE_MS: '1500' });
  token = await rig.coordinator.token('operator');
});
afterAll(() => rig.stop());

/** The value of a metric, with its labels as they are written. */
async function metric(name: string): Promise<number> {
  const answer = await fetch(`${rig.coordinator.httpUrl}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  const line = (await answer.text()).split('\n').find((text) => text.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1));
}

test('counts assignments taken back, stale reports and passed deadlines', async () => {
  const passed = (deadline: string) => `dstc_deadlines_passed_total{deadline="${deadline}"}`;
  const names = ['dstc_assignments_taken_back_total', 'dstc_stale_reports_total', passed('run'), passed('start')];
  const before = await Promise.all(names.map(metric));
  expect(before).toEqual([0, 0, 0, 0]);
  const type = await rig.type({ deadlines: { delivery: durationFromMs(100) } });
  await rig.submit(type);
  const worker = await rig.workerOf(type, 1);
  const [lost] = await worker.assignments(1);
  const [again] = await worker.assignments(1);
  worker.send(acceptance(leaseOf(again)));
  worker.send(success(leaseOf(lost)));
  expect((await worker.settlements([leaseOf(lost)])).map(outcomeOf)).toEqual(['LEASE_LOST']);
  worker.send(success(leaseOf(again)));
  await worker.settlements([leaseOf(again)]);
  const slow = await rig.submit(type, { deadlines: { run: durationFromMs(1) }, retryPolicy: { attemptsMax: 1 } });
  worker.send(acceptance(leaseOf((await worker.assignments(1))[0])));
  await rig.end(slow);
  await rig.end(await rig.submit(await rig.type(), { deadlines: { start: durationFromMs(1) } }));
  await expect.poll(() => Promise.all(names.map(metric))).toEqual([1, 1, 1, 1]);
});

test('counts the leases of workers that are gone', async () => {
  const type = await rig.type();
  await rig.submit(type);
  const worker = await rig.workerOf(type);
  worker.send(acceptance(leaseOf((await worker.assignments(1))[0])));
  expect(await metric('dstc_leases')).toBe(1);
  worker.send({ case: 'draining', value: {} });
  await worker.goodbye();
  await expect.poll(() => metric('dstc_leases_lost_total'), { timeout: 5_000 }).toBe(1);
});

test('shows how late a deadline was found', async () => {
  const id = await rig.submit(await rig.type(), { deadlines: { start: durationFromMs(3_600_000) } });
  expect(await metric('dstc_overdue_timer_seconds')).toBe(0);
  await rig.sql`UPDATE task SET start_deadline = now() + interval '3 seconds' WHERE id = ${id}`;
  await rig.sql.begin(async (sql) => {
    // Nobody can sweep what is locked, so it stays late for as long as anybody looks.
    await sql`SELECT 1 FROM task WHERE id = ${id} FOR UPDATE`;
    await expect.poll(() => metric('dstc_overdue_timer_seconds'), { timeout: 15_000 }).toBeGreaterThan(0.1);
  });
  await expect.poll(() => metric('dstc_overdue_timer_seconds'), { timeout: 5_000 }).toBe(0);
}, 30_000);
