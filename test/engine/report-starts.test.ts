import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ReportRig, startReportRig } from './report-rig.ts';

let rig: ReportRig;
beforeAll(async () => {
  rig = await startReportRig();
});
afterAll(() => rig.stop());

test.each([
  { actor: 'worker', byWorker: true, kinds: ['started', 'released'] },
  { actor: 'system:dispatch', byWorker: true, kinds: ['started', 'released'] },
  { actor: 'worker', byWorker: false, kinds: ['released'] },
])(
  'what is released by $actor has been started if its worker says so: $byWorker',
  async ({ actor, byWorker, kinds }) => {
    const [fence] = await rig.lease(1);
    if (fence === undefined) throw new Error('no lease');
    const by = byWorker ? {} : { byWorker };
    const ended = await rig.engine.reports.end({ ...rig.from, actor }, { fence, command: 'release', ...by });
    expect(ended).toMatchObject({ outcome: 'recorded' });
    const rows = await rig.sql`SELECT kind FROM task_event WHERE task_id = ${fence.taskId} ORDER BY sequence`;
    expect(rows.map(({ kind }) => kind)).toEqual(['submitted', 'leased', ...kinds]);
  },
);

test.each([
  { actor: 'worker@idp.example', outcome: 'already recorded' },
  { actor: 'system:serviceaccount:shop:mailer@idp.example', outcome: 'already recorded' },
  { actor: 'system:dispatch', outcome: 'lease lost' },
])('a report that $actor has made before is told to be $outcome', async ({ actor, outcome }) => {
  const [fence] = await rig.lease(1);
  if (fence === undefined) throw new Error('no lease');
  const report = { fence, command: 'release' } as const;
  await rig.engine.reports.end({ ...rig.from, actor }, report);
  expect(await rig.engine.reports.end({ ...rig.from, actor }, report)).toEqual({ outcome });
});
