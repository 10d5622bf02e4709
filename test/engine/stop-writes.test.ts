import { setImmediate } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DstcError } from '../../server/domain/errors.ts';
import type { Fence } from '../../server/domain/ids.ts';
import { createAccepts } from '../../server/engine/accept.ts';
import { createProgressReports } from '../../server/engine/progress.ts';
import { createWake } from '../../server/engine/wake.ts';
import { type ReportRig, startReportRig } from './report-rig.ts';

let rig: ReportRig;
beforeAll(async () => {
  rig = await startReportRig();
});
afterAll(() => rig.stop());

const log = pino({ level: 'silent' });
const away = () => new DstcError('DATABASE_UNAVAILABLE', 'Postgres is away');

/** Each with how it is given something and how much of that is written. */
const writers = {
  accepts() {
    const accepts = createAccepts({ database: rig.database, wake: createWake(), log });
    return { ...accepts, give: (fence: Fence) => accepts.add(rig.from, fence) };
  },
  progress() {
    const progress = createProgressReports({ database: rig.database, wake: createWake(), log });
    const said = { percent: 50, message: '', checkpoint: Buffer.from('page 5') };
    return { ...progress, give: (fence: Fence) => progress.add(rig.from, fence, said) };
  },
};
const names = Object.keys(writers) as (keyof typeof writers)[];

async function writtenOf(fences: readonly Fence[]): Promise<number> {
  const ids = fences.map(({ taskId }) => taskId);
  const rows = await rig.sql`
    SELECT FROM task WHERE id = ANY(${ids}::uuid[]) AND (started_time IS NOT NULL OR checkpoint IS NOT NULL)`;
  return rows.length;
}

test.each(names)('the stop of %s waits for the write that is under way', async (name) => {
  const fences = await rig.lease(1);
  const writer = writers[name]();
  const hold = rig.database.hold();
  for (const fence of fences) writer.give(fence);
  await hold.reached;
  const order: string[] = [];
  const stopped = writer.stop().then(() => order.push('stopped'));
  await setImmediate();
  order.push('released');
  hold.release();
  await stopped;
  expect(order).toEqual(['released', 'stopped']);
  expect(await writtenOf(fences)).toBe(1);
});

test.each(names)('the stop of %s writes what the write under way could not, and what came since', async (name) => {
  const [first, second] = await rig.lease(2);
  if (first === undefined || second === undefined) throw new Error('no leases');
  const writer = writers[name]();
  const hold = rig.database.hold();
  writer.give(first);
  await hold.reached;
  writer.give(second);
  const stopped = writer.stop();
  hold.fail(away());
  await stopped;
  expect(await writtenOf([first, second])).toBe(2);
});

test('progress that was taken comes back as it was, whatever an earlier write of the same lease does', async () => {
  const [fence] = await rig.lease(1);
  if (fence === undefined) throw new Error('no lease');
  const failed = Promise.withResolvers<void>();
  const telling = pino({ level: 'warn' }, { write: () => failed.resolve() });
  const progress = createProgressReports({ database: rig.database, wake: createWake(), log: telling });
  const say = (percent: number) => {
    const checkpoint = Buffer.from(`at ${percent}`);
    progress.add(rig.from, fence, { percent, message: '', checkpoint });
  };
  const hold = rig.database.hold();
  say(10);
  await hold.reached;
  say(20);
  const taken = progress.take({ fence, sessionId: rig.from.sessionId });
  hold.fail(away());
  await failed.promise;
  if (taken !== undefined) progress.restore(taken);
  const again = progress.take({ fence, sessionId: rig.from.sessionId });
  expect(again).toMatchObject({ percent: 20, checkpoint: Buffer.from('at 20') });
  await progress.stop();
});
