import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startShardReader } from '../../server/events/shard-reader.ts';
import { insertTasks } from '../../server/store/insert-tasks.ts';
import { newTask } from '../store/rows.ts';
import { startWebhookRig, type WebhookRig } from './rig.ts';

let rig: WebhookRig;
beforeEach(async () => {
  rig = await startWebhookRig();
});
afterEach(() => rig.stop());

test('nothing is read while there is no webhook, and whatever follows the answer to its creation is', async () => {
  const [node, to] = [rig.node(), await rig.receiver()];
  let delivered = 0;
  const [asked, written] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const consumer: typeof node.consumer = {
    ...node.consumer,
    async unwantedBefore() {
      asked.resolve();
      await written.promise;
      return node.consumer.unwantedBefore?.();
    },
    deliver(shard, events, signal) {
      delivered += events.length;
      return node.consumer.deliver(shard, events, signal);
    },
  };
  const { database } = rig;
  let wake: () => void = () => undefined;
  const eventsWritten = {
    listen(listener: () => void) {
      wake = listener;
    },
  };
  const log = pino({ level: 'silent' });
  const reader = startShardReader({ database, eventsWritten, log, node: 'node' }, consumer);
  try {
    await expect.poll(() => reader.shardCount(), { timeout: 20_000 }).toBe(8);
    wake();
    // What is written while the reader asks where to begin is there when it is told.
    await asked.promise;
    await submit(500);
    written.resolve();
    const [end] = await rig.sql<{ order: string }[]>`SELECT max(stream_order)::text AS order FROM task_event`;
    wake();
    const behind = () => rig.sql`SELECT FROM event_reader WHERE stream_order <= ${end?.order ?? ''}::text::xid8`;
    await expect.poll(async () => (await behind()).length, { timeout: 20_000 }).toBe(0);
    expect(delivered).toBe(0);

    const wanted: string[] = [];
    for (let round = 0; round < 20; round += 1) {
      const { id } = await rig.create(node, to.url);
      const [task = ''] = await submit(1);
      wanted.push(`${task}:1`);
      wake();
      await to.received(round + 1);
      await rig.allIn(id, 'SUCCEEDED');
      await node.webhooks.delete({ namespace: 'default', id, maySee: () => true }, undefined);
      await submit(5);
    }
    expect(to.requests.map(({ headers }) => headers['webhook-id'])).toEqual(wanted);
  } finally {
    await reader.stop();
  }
});

async function submit(count: number): Promise<string[]> {
  const tasks = Array.from({ length: count }, () => newTask);
  return (await rig.database.run((sql) => insertTasks(sql, tasks))).map(({ id }) => id);
}
