import { afterAll, beforeAll, expect, test } from 'vitest';
import { leaseOf, outcomeOf } from '../setup/raw-worker.ts';
import { type EngineRig, failure, startEngineRig, success } from './rig.ts';

let rig: EngineRig;
beforeAll(async () => {
  rig = await startEngineRig();
});
afterAll(() => rig.stop());

const rowsOf = (type: string) => rig.sql`SELECT 1 FROM task_type WHERE name = ${type}`;

test('stays while a task of it runs', async () => {
  const type = await rig.type();
  await rig.submit(type);
  const worker = await rig.workerOf(type);
  const lease = leaseOf((await worker.assignments(1))[0]);
  await expect(rig.types.deleteTaskType({ name: type })).rejects.toThrow('that have not ended');
  worker.send(success(lease));
  await worker.settlements([lease]);
  await rig.types.deleteTaskType({ name: type });
});

test('what another node has still taken for it is worked on and checked as any task, and then nothing more', async () => {
  const type = await rig.type({ outputSchema: { type: 'object' } });
  const id = await rig.submit(type);
  // As if the other node had written its task just after the look at what is unfinished.
  await rig.sql`UPDATE task_type SET delete_time = now(), etag = 'deleted' WHERE name = ${type}`;
  const worker = await rig.workerOf(type);
  const lease = leaseOf((await worker.assignments(1))[0]);
  const output = { value: { case: 'data', value: Buffer.from('[]') } } as const;
  worker.send({ case: 'succeeded', value: { items: [{ lease, output }] } });
  expect((await worker.settlements([lease])).map(outcomeOf)).toEqual(['RECORDED']);
  expect((await rig.stored(id)).row).toMatchObject({ state: 'FAILED', error: { code: 'OUTPUT_INVALID' } });
  const refusal = () => rig.submit(type).catch((error: unknown) => String(error));
  await expect.poll(refusal, { timeout: 5_000 }).toContain(`there is no task type ${type}`);
});

test('goes away with the last of its tasks, which its retention keeps as long as any', async () => {
  const type = await rig.type({ retryPolicy: { attemptsMax: 1 }, retention: { seconds: 60n } });
  const [redriven, kept] = [await rig.submit(type), await rig.submit(type)];
  const worker = await rig.workerOf(type);
  for (const lease of (await worker.assignments(2)).map(leaseOf)) worker.send(failure(lease));
  for (const id of [redriven, kept]) expect(await rig.end(id)).toBe('FAILED');
  await rig.types.deleteTaskType({ name: type });

  // A dead letter can still be mended.
  await rig.tasks.redriveTask({ id: redriven });
  const lease = leaseOf((await worker.assignments(1))[0]);
  worker.send(success(lease));
  await worker.settlements([lease]);

  await rig.sql`UPDATE task_type SET delete_time = now() - interval '1 hour' WHERE name = ${type}`;
  await rig.sql`UPDATE task SET finished_time = now() - interval '61 seconds' WHERE id = ${redriven}`;
  await retentionHas(async () => expect(await rig.sql`SELECT 1 FROM task WHERE id = ${redriven}`).toHaveLength(0));
  expect(await rowsOf(type)).toHaveLength(1);

  await rig.sql`UPDATE task SET finished_time = now() - interval '61 seconds' WHERE id = ${kept}`;
  await retentionHas(async () => expect(await rowsOf(type)).toHaveLength(0));
});

/** Waits until the retention of a node that has just started has done something. */
async function retentionHas(done: () => Promise<void>): Promise<void> {
  const node = await rig.coordinator.startNode();
  await expect
    .poll(
      () =>
        done().then(
          () => true,
          () => false,
        ),
      { timeout: 8_000 },
    )
    .toBe(true);
  await node.stop();
}
