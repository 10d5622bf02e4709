import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Fence } from '../../server/domain/ids.ts';
import { lockTasksOfAnyNamespace } from '../../server/store/lock-tasks.ts';
import { statementsWait } from '../setup/statements-wait.ts';
import { type ReportRig, startReportRig } from './report-rig.ts';

let rig: ReportRig;
beforeAll(async () => {
  rig = await startReportRig();
  // From now on accepts and progress are written by nothing but the ends of leases.
  await Promise.all([rig.engine.accepts.stop(), rig.engine.progress.stop()]);
});
afterAll(() => rig.stop());

const output = { data: new Uint8Array(), contentType: 'application/json' };
const said = { percent: 50, message: '', checkpoint: undefined };
const release = (fence: Fence) => rig.engine.reports.end(rig.from, { fence, command: 'release' });
const succeed = (fence: Fence) => rig.engine.reports.succeed(rig.from, fence, undefined, output);

test.each([
  { what: 'releases with an accept', end: release, bring: (fence: Fence) => rig.engine.accepts.add(rig.from, fence) },
  {
    what: 'releases with progress',
    end: release,
    bring: (fence: Fence) => rig.engine.progress.add(rig.from, fence, said),
  },
  {
    what: 'successes with progress',
    end: succeed,
    bring: (fence: Fence) => rig.engine.progress.add(rig.from, fence, said),
  },
])('$what of a later task lock the earlier ones first', async ({ end, bring }) => {
  const fences = await rig.lease(2);
  const [first, second] = fences;
  if (first === undefined || second === undefined) throw new Error('no leases');
  const ids = fences.map(({ taskId }) => taskId);
  let locking: Promise<unknown[]> = Promise.resolve([]);
  let free: readonly unknown[] = [];
  let ended: Promise<unknown>[] = [];
  await rig.sql.begin(async (holder) => {
    await holder`SELECT FROM task WHERE id = ${first.taskId} FOR UPDATE`;
    // The next to have the first task; it then wants the second one.
    locking = rig.database.run((sql) => lockTasksOfAnyNamespace(sql, ids));
    await statementsWait(rig.sql, 1);
    bring(second);
    ended = fences.map(end);
    await statementsWait(rig.sql, 2);
    free = await rig.sql`SELECT FROM task WHERE id = ${second.taskId} FOR UPDATE SKIP LOCKED`;
  });
  // Before anything is judged, so that a test that fails leaves nothing behind that the next one would count.
  await Promise.allSettled([locking, ...ended]);
  expect(free).toHaveLength(1);
  expect(await locking).toHaveLength(2);
  expect(await Promise.all(ended)).toMatchObject(Array(2).fill({ outcome: 'recorded' }));
});
