import type { Worker } from 'node:worker_threads';
import type { JsonValue } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EngineRig, startEngineRig, success } from '../engine/rig.ts';
import { startTestNats, type TestNats, testNatsProgram } from '../setup/nats.ts';
import type { StoredMessage } from './bus-suite.ts';
import { type NatsReader, openNatsReader } from './nats-rig.ts';

const program = await testNatsProgram();

describe.skipIf(program === undefined)('the relay', () => {
  let nats: TestNats;
  let reader: NatsReader;
  let rig: EngineRig;
  let threads: Worker[];
  const noteThread = (thread: Worker) => void threads.push(thread);

  beforeEach(async () => {
    if (program === undefined) throw new Error('there is no nats-server');
    nats = await startTestNats({ program });
    reader = await openNatsReader(nats);
    threads = [];
    process.on('worker', noteThread);
    rig = await startEngineRig({ NATS_URL: nats.url });
    await relaying();
  });
  afterEach(async () => {
    process.off('worker', noteThread);
    await rig.stop();
    await reader.close();
    await nats.stop();
  });

  it('publishes everything that happens to tasks, in the order of each, and says so in subject and headers', async () => {
    const type = await rig.type();
    const worker = await rig.workerOf(type, slots);
    const ids = await Promise.all(Array.from({ length: 20 }, () => rig.submit(type, { labels: { city: 'Köln "x"' } })));
    await workOff(worker, ids.length);
    const messages = await publishedOf(ids, 4);
    await expectHistory(messages, ids);
    const [first] = messages.filter(({ id }) => id === `${ids[0]}:1`);
    expect(first).toMatchObject({
      subject: `dstc.default.task.${type}.submitted`,
      headers: {
        'content-type': 'application/json',
        ...{ 'ce-specversion': '1.0', 'ce-id': `${ids[0]}:1`, 'ce-type': 'dstc.task.submitted.v1' },
        ...{ 'ce-source': '/cells/dstc', 'ce-subject': ids[0], 'ce-namespace': 'default', 'ce-tasktype': type },
        ...{ 'ce-sequence': '0000000001', 'ce-sequencetype': 'Integer' },
      },
    });
    const data: JsonValue = JSON.parse(first?.data ?? '');
    expect(data).toEqual({
      task: { id: ids[0], type, state: 'TASK_STATE_PENDING', labels: { city: 'Köln "x"' } },
    });
  });

  it('publishes from several nodes, each event once', async () => {
    await rig.coordinator.startNode();
    await rig.coordinator.startNode();
    const type = await rig.type();
    const worker = await rig.workerOf(type, slots);
    const ids: string[] = [];
    for (let round = 0; round < 10; round += 1) {
      ids.push(...(await Promise.all(Array.from({ length: 20 }, () => rig.submit(type)))));
      await workOff(worker, 20);
    }
    const messages = await publishedOf(ids, 4);
    await expectHistory(messages, ids);
    expect(messages).toHaveLength(ids.length * 4);
  });

  it('catches up after an outage, during which tasks do not notice', async () => {
    const type = await rig.type();
    const worker = await rig.workerOf(type, slots);
    await nats.kill();
    const ids = await Promise.all(Array.from({ length: 30 }, () => rig.submit(type)));
    await workOff(worker, ids.length);
    expect(await rig.end(ids[0] ?? '')).toBe('SUCCEEDED');
    await nats.restart();
    await expectHistory(await publishedOf(ids, 4), ids);
  });

  it('fills a stream anew that was deleted, with everything that it had', async () => {
    const type = await rig.type();
    const worker = await rig.workerOf(type, slots);
    const before = await Promise.all(Array.from({ length: 30 }, () => rig.submit(type)));
    await workOff(worker, before.length);
    await publishedOf(before, 4);
    await reader.manager.streams.delete('dstc');
    const after = await Promise.all(Array.from({ length: 30 }, () => rig.submit(type)));
    await workOff(worker, after.length);
    const ids = [...before, ...after];
    await expectHistory(await publishedOf(ids, 4), ids);
  });

  it('fills the stream anew of a server that has lost its store', async () => {
    const type = await rig.type();
    const worker = await rig.workerOf(type, slots);
    const before = await Promise.all(Array.from({ length: 30 }, () => rig.submit(type)));
    await workOff(worker, before.length);
    await publishedOf(before, 4);
    await nats.restart('emptied');
    const after = [await rig.submit(type)];
    await workOff(worker, after.length);
    const ids = [...before, ...after];
    await expectHistory(await publishedOf(ids, 4), ids);
  });

  it('publishes once more what the stream has lost, when an operator says so', async () => {
    const type = await rig.type();
    const worker = await rig.workerOf(type, slots);
    const ids = await Promise.all(Array.from({ length: 30 }, () => rig.submit(type)));
    await workOff(worker, ids.length);
    await publishedOf(ids, 4);
    await reader.manager.streams.purge('dstc');
    await rig.events.rebuildEvents({});
    await expectHistory(await publishedOf(ids, 4), ids);
    await reader.manager.streams.purge('dstc');
    const startTime = timestampFromDate(new Date());
    const later = [await rig.submit(type)];
    await workOff(worker, later.length);
    await rig.events.rebuildEvents({ startTime });
    await expectHistory(await publishedOf(later, 4), later);
  });

  it('is replaced when its thread fails, and goes on where it was', async () => {
    const type = await rig.type();
    const before = await Promise.all(Array.from({ length: 10 }, () => rig.submit(type)));
    await publishedOf(before, 1);
    await expect.poll(() => metric('dstc_events_published_total'), patience).toBeGreaterThanOrEqual(before.length);
    await threads.at(-1)?.terminate();
    const after = await Promise.all(Array.from({ length: 10 }, () => rig.submit(type)));
    await expectHistory(await publishedOf([...before, ...after], 1), [...before, ...after]);
    await relaying();
    expect(threads).toHaveLength(2);
    const total = before.length + after.length;
    await expect.poll(() => metric('dstc_events_published_total'), patience).toBeGreaterThanOrEqual(total);
  });

  it('tells how far it is behind', async () => {
    const type = await rig.type();
    await nats.kill();
    await rig.submit(type);
    await expect.poll(() => metric('dstc_event_lag_seconds{reader="nats"}'), patience).toBeGreaterThan(1);
    expect(await metric('dstc_event_backlog{reader="nats"}')).toBeGreaterThanOrEqual(1);
    await nats.restart();
    await expect.poll(() => metric('dstc_event_lag_seconds{reader="nats"}'), patience).toBe(0);
    expect(await metric('dstc_event_backlog{reader="nats"}')).toBe(0);
    expect(await metric('dstc_nats_reconnects_total')).toBe(1);
    expect(await metric('dstc_events_published_total')).toBeGreaterThanOrEqual(1);
  });

  async function relaying(): Promise<void> {
    await expect.poll(() => metric('dstc_event_shards{reader="nats"}'), patience).toBe(8);
  }

  async function metric(name: string): Promise<number> {
    const token = await rig.coordinator.token('operator');
    const response = await fetch(`${rig.coordinator.httpUrl}/metrics`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const line = (await response.text()).split('\n').find((candidate) => candidate.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1) ?? Number.NaN);
  }

  async function workOff(worker: Awaited<ReturnType<EngineRig['workerOf']>>, count: number): Promise<void> {
    for (let done = 0; done < count; ) {
      const batch = await worker.assignments(Math.min(slots, count - done));
      worker.send(success(...batch.flatMap(({ lease }) => lease ?? [])));
      done += batch.length;
    }
  }

  /** Waits until the stream has so many events of each of these tasks, and answers with all of theirs, in order. */
  async function publishedOf(ids: readonly string[], each: number): Promise<StoredMessage[]> {
    const wanted = new Set(ids);
    let found: StoredMessage[] = [];
    await expect
      .poll(async () => {
        const stored = await reader.stored().catch(() => []);
        found = stored.filter(({ headers }) => wanted.has(headers['ce-subject'] ?? ''));
        return new Set(found.map(({ id }) => id)).size;
      }, patience)
      .toBeGreaterThanOrEqual(ids.length * each);
    return found;
  }

  /** What was published of each task is its history, after doubles are dropped. */
  async function expectHistory(messages: readonly StoredMessage[], ids: readonly string[]): Promise<void> {
    const rows = await rig.sql<{ taskId: string; kinds: string[] }[]>`
      SELECT task_id, array_agg(kind::text ORDER BY sequence) AS kinds FROM task_event
      WHERE task_id = ANY(${[...ids]}::uuid[]) GROUP BY task_id`;
    const seen = new Map<string, string[]>();
    const known = new Set<string>();
    for (const { id, headers } of messages) {
      if (known.has(id)) continue;
      known.add(id);
      const kinds = seen.get(headers['ce-subject'] ?? '') ?? [];
      kinds.push(headers['ce-type']?.split('.')[2] ?? '');
      seen.set(headers['ce-subject'] ?? '', kinds);
    }
    expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(rows.map(({ taskId, kinds }) => [taskId, kinds])));
  }
});

const slots = 10;
const patience = { timeout: 20_000, interval: 50 };
