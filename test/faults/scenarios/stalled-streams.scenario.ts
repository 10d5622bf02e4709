import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { CoordinatorProcess } from '../../setup/coordinator-process.ts';
import { openRawWorker, type RawWorker } from '../../setup/raw-worker.ts';
import { figure, startWorld, type World } from './world.ts';

const streams = 500;
const stalled = 100;
const slots = 40;
const input = Buffer.from(JSON.stringify('x'.repeat(4_096)));

let world: World;
const workers: RawWorker[] = [];
const stopping = new AbortController();
beforeEach(async () => {
  world = await startWorld();
});
afterEach(async () => {
  stopping.abort();
  for (const worker of workers) worker.cut();
  await world.stop();
});

/** Does whatever it is given, until its stream ends. */
async function serve(worker: RawWorker): Promise<void> {
  try {
    for (;;) {
      const { items } = await worker.next('assignments', 600_000);
      worker.send({ case: 'succeeded', value: { items: items.flatMap(({ lease }) => (lease ? [{ lease }] : [])) } });
    }
  } catch {
    // The stream has ended: its test is over, or it was cut off.
  }
}

/** A metric of a node. */
async function metric(node: CoordinatorProcess, name: string): Promise<number> {
  const headers = { authorization: `Bearer ${await world.identity.token('operator')}` };
  const text = await (await fetch(`${node.httpUrl}/metrics`, { headers })).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

/** The largest resident memory of a node over a while, in MiB. */
async function residentMax(node: CoordinatorProcess, forMs: number): Promise<number> {
  let most = 0;
  for (const endMs = performance.now() + forMs; performance.now() < endMs; await pause(250)) {
    most = Math.max(most, (await metric(node, 'process_resident_memory_bytes')) / 1024 ** 2);
  }
  return most;
}

test('100 of 500 worker streams stop reading under load: resident memory grows by 10 % at most, and they are cut off', async () => {
  const [node] = await world.nodes(1);
  if (node === undefined) throw new Error('no node');
  const { tasks, types } = await world.operator(node);
  await types.applyTaskType({ taskType: { name: 'flow' } });
  const token = await world.identity.token('worker');
  for (let n = 0; n < streams; n += 1) {
    const hello = { taskTypes: [{ taskType: 'flow', slots }], slots };
    const worker = openRawWorker({ address: node.grpcAddress, token, hello });
    workers.push(worker);
    await worker.next('welcome', 30_000);
    void serve(worker);
  }
  const request = { type: 'flow', input: { value: { case: 'data' as const, value: input } } };
  const submitting = (async () => {
    while (!stopping.signal.aborted) await tasks.submitTasks({ requests: Array.from({ length: 500 }, () => request) });
  })();
  await residentMax(node, 30_000);
  const before = await residentMax(node, 15_000);
  for (const worker of workers.slice(0, stalled)) worker.stall();
  const during = await residentMax(node, 20_000);
  figure('resident memory of a node with 500 busy streams', before, 'MiB');
  figure('the same with 100 of them stalled', during, 'MiB');
  expect(during).toBeLessThan(before * 1.1);
  await expect.poll(() => metric(node, 'dstc_worker_sessions'), { timeout: 30_000 }).toBe(streams - stalled);
  stopping.abort();
  await submitting;
});
