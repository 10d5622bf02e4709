import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createPythonClient, hasPython, type PythonClient } from '../clients/python-environment.ts';
import { type EngineRig, startEngineRig, success, type WelcomedWorker } from '../engine/rig.ts';
import { type FaultProxy, startFaultProxy } from '../setup/fault-proxy.ts';
import { startTestNats, type TestNats, testNatsProgram } from '../setup/nats.ts';

const program = await testNatsProgram();
// In CI it must be there: see .ci/run.
const canRun = program !== undefined && (process.env.CI !== undefined || (await hasPython()));
const slots = 20;
const patience = { timeout: 60_000, interval: 100 };

describe.skipIf(!canRun)('a consumer in Python (needs nats-server, and python3 3.9 with venv and pip)', () => {
  let nats: TestNats;
  let way: FaultProxy;
  let rig: EngineRig;
  let python: PythonClient;
  let worker: WelcomedWorker;
  let ids: string[];
  let type: string;

  beforeEach(async () => {
    if (program === undefined) throw new Error('there is no nats-server');
    [nats, python] = await Promise.all([startTestNats({ program }), createPythonClient()]);
    way = await startFaultProxy(nats.port);
    rig = await startEngineRig({ NATS_URL: `nats://127.0.0.1:${way.port}` });
    await rig.coordinator.startNode();
    type = await rig.type();
    worker = await rig.workerOf(type, slots);
    ids = [];
    await settled();
  }, 180_000);
  afterEach(async () => {
    await rig.stop();
    await way.close();
    await nats.stop();
    await python.dispose();
  });

  it('sees every event in order, whatever happens to the connections', async () => {
    const faults: (() => void)[] = [way.cut, way.halve, way.cut, way.block, way.heal, way.cut];
    for (const fault of faults) {
      const working = work(60);
      fault();
      await working;
    }
    await settled();
    await expectHistory();
  });

  it('sees every event in order, although NATS is killed and comes back', async () => {
    await work(60);
    await nats.kill();
    await work(60);
    await nats.restart();
    const working = work(60);
    await nats.restart();
    await working;
    await settled();
    await expectHistory();
  });

  it('finds everything in the stream that is filled anew after its store was lost', async () => {
    await work(60);
    await settled();
    await nats.restart('emptied');
    await work(60);
    await settled();
    await expectHistory();
  });

  /** Has tasks done, with their events going out meanwhile. */
  async function work(count: number): Promise<void> {
    const submitting = Promise.all(Array.from({ length: count }, () => rig.submit(type)));
    for (let done = 0; done < count; ) {
      const batch = await worker.assignments(Math.min(slots, count - done));
      worker.send(success(...batch.flatMap(({ lease }) => lease ?? [])));
      done += batch.length;
    }
    ids.push(...(await submitting));
  }

  /** Until nothing is left to publish. */
  async function settled(): Promise<void> {
    const authorization = `Bearer ${await rig.coordinator.token('operator')}`;
    await expect
      .poll(async () => {
        const response = await fetch(`${rig.coordinator.httpUrl}/metrics`, { headers: { authorization } });
        const text = await response.text();
        const values = ['backlog', 'shards'].map((name) =>
          Number(new RegExp(`^dstc_event_${name}\\{reader="nats"\\} (\\d+)$`, 'm').exec(text)?.[1]),
        );
        const ended = await rig.sql`SELECT 1 FROM task WHERE state NOT IN ('SUCCEEDED') LIMIT 1`;
        return values[0] === 0 && (values[1] ?? 0) > 0 && ended.length === 0;
      }, patience)
      .toBe(true);
  }

  async function expectHistory(): Promise<void> {
    const { code, text } = await python.run(['-m', 'read_events'], { NATS_URL: nats.url });
    expect({ code, text }).toMatchObject({ code: 0 });
    const { seen }: { seen: Record<string, string[]> } = JSON.parse(text);
    const rows = await rig.sql<{ taskId: string; types: string[] }[]>`
      SELECT task_id, array_agg('dstc.task.' || kind::text || '.v1' ORDER BY sequence) AS types FROM task_event
      WHERE task_id = ANY(${ids}::uuid[]) GROUP BY task_id`;
    expect(rows).toHaveLength(ids.length);
    for (const { taskId, types } of rows) expect(seen[taskId], taskId).toEqual(types);
  }
});
