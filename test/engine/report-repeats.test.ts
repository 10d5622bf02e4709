import { afterAll, beforeAll, expect, test } from 'vitest';
import { DstcError } from '../../server/domain/errors.ts';
import type { Fence } from '../../server/domain/ids.ts';
import { type ReportRig, startReportRig } from './report-rig.ts';

let rig: ReportRig;
beforeAll(async () => {
  rig = await startReportRig();
  // From now on progress is written by nothing but the ends of leases.
  await rig.engine.progress.stop();
});
afterAll(() => rig.stop());

const output = { data: new Uint8Array(), contentType: 'application/json' };
const deadlock = () => Object.assign(new Error('deadlock detected'), { code: '40P01' });
const away = () => new DstcError('DATABASE_UNAVAILABLE', 'Postgres is away');

const ends = {
  'a success': (fence: Fence) => rig.engine.reports.succeed(rig.from, fence, undefined, output),
  'a release': (fence: Fence) => rig.engine.reports.end(rig.from, { fence, command: 'release' }),
};
const names = Object.keys(ends) as (keyof typeof ends)[];

function say(fence: Fence, percent: number, checkpoint?: string): void {
  const kept = checkpoint === undefined ? undefined : Buffer.from(checkpoint);
  rig.engine.progress.add(rig.from, fence, { percent, message: '', checkpoint: kept });
}

async function checkpointOf({ taskId }: Fence): Promise<string> {
  const [row] = await rig.sql<{ checkpoint: Buffer | null }[]>`SELECT checkpoint FROM task WHERE id = ${taskId}`;
  return row?.checkpoint?.toString() ?? 'none';
}

test.each(names)('%s that is written again after a deadlock still brings the checkpoint', async (name) => {
  const [fence] = await rig.lease(1);
  if (fence === undefined) throw new Error('no lease');
  say(fence, 50, 'page 5');
  const hold = rig.database.hold();
  const ended = ends[name](fence);
  await hold.reached;
  hold.fail(deadlock());
  expect(await ended).toMatchObject({ outcome: 'recorded' });
  expect(await checkpointOf(fence)).toBe('page 5');
});

test.each(names)('%s that is reported again after an outage still brings the checkpoint', async (name) => {
  const [fence] = await rig.lease(1);
  if (fence === undefined) throw new Error('no lease');
  say(fence, 50, 'page 5');
  const hold = rig.database.hold();
  const ended = ends[name](fence);
  await hold.reached;
  hold.fail(away());
  await expect(ended).rejects.toThrow('Postgres is away');
  expect(await ends[name](fence)).toMatchObject({ outcome: 'recorded' });
  expect(await checkpointOf(fence)).toBe('page 5');
});

test.each([
  { said: 'page 6', kept: 'page 6' },
  { said: undefined, kept: 'page 5' },
])('of two reports the later one counts, with the last checkpoint: $kept', async ({ said, kept }) => {
  const [fence] = await rig.lease(1);
  if (fence === undefined) throw new Error('no lease');
  say(fence, 50, 'page 5');
  const hold = rig.database.hold();
  const ended = ends['a success'](fence);
  await hold.reached;
  say(fence, 60, said);
  hold.fail(deadlock());
  await ended;
  expect(await checkpointOf(fence)).toBe(kept);
  const [row] = await rig.sql`SELECT progress_percent AS percent FROM task WHERE id = ${fence.taskId}`;
  expect(row).toEqual({ percent: 60 });
});
