import { type Client, createClient, type DstcEvent, type EventsOptions, isReason } from '@dstc/sdk';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type EventRig, startEventRig } from '../events/rig.ts';
import { type FaultProxy, startFaultProxy } from '../setup/fault-proxy.ts';

let rig: EventRig;
let proxy: FaultProxy;
const clients: Client[] = [];
/** That clients have had. */
let tokens = 0;
beforeEach(async () => {
  rig = await startEventRig();
  proxy = await startFaultProxy(Number(rig.coordinator.grpcAddress.split(':')[1]));
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await proxy.close();
  await rig.stop();
});

/** As root, through the proxy, with tokens that live for so long. */
function connect(seconds = 900): Client {
  let token: Promise<string> | undefined;
  let known = '';
  const client = createClient({
    address: `127.0.0.1:${proxy.port}`,
    credentials: {
      async token({ refused } = {}) {
        if (refused === known) token = undefined;
        const exp = Math.floor(Date.now() / 1_000) + seconds;
        if (token === undefined) tokens += 1;
        token ??= rig.coordinator.identity.forge({ sub: 'root', client_id: 'root', exp });
        known = await token;
        return known;
      },
    },
  });
  clients.push(client);
  return client;
}

const keyOf = ({ subject, sequence }: DstcEvent) => `${subject}:${sequence}`;

/** Takes events until there are this many. Resolves with what collects them once nothing is missed any more. */
async function collect(
  client: Client,
  count: number,
  options: EventsOptions = {},
): Promise<{ readonly collected: Promise<DstcEvent[]> }> {
  const begun = Promise.withResolvers<void>();
  const events: DstcEvent[] = [];
  const collected = (async () => {
    for await (const event of client.events({ types: ['dstc.task.*'], onCursor: () => begun.resolve(), ...options })) {
      events.push(event);
      if (events.length === count) break;
    }
    return events;
  })();
  await Promise.race([begun.promise, collected]);
  return { collected };
}

test('yields events with what they tell, as their kind says', async () => {
  const client = connect();
  const { collected } = await collect(client, 2, { labels: { team: { in: ['x'] } }, taskTypes: ['a.plain'] });
  await client.submit('a.plain', undefined, { labels: { team: 'y' } });
  const { id } = await client.submit('a.plain', undefined, { labels: { team: 'x' } });
  await client.cancel(id, { reason: 'changed my mind' });
  const [submitted, cancelled] = await collected;
  expect(submitted).toMatchObject({
    ...{ type: 'dstc.task.submitted.v1', kind: 'task.submitted', subject: id, taskType: 'a.plain', sequence: 1 },
    ...{ namespace: 'default', source: '/cells/dstc', time: expect.any(Date), cursor: expect.any(String) },
    data: { task: { id, type: 'a.plain', state: 'PENDING', attempt: 0, labels: { team: 'x' } } },
  });
  if (cancelled?.kind !== 'task.cancelled') throw new Error(`${cancelled?.kind} came instead of task.cancelled`);
  expect(cancelled.data).toMatchObject({ reason: 'changed my mind', task: { state: 'CANCELLED' } });
});

test('goes on where it was when the connection is lost again and again', async () => {
  const { collected } = await collect(connect(), 200);
  const ids: string[] = [];
  for (let round = 0; round < 10; round += 1) {
    ids.push(...(await rig.write(10)));
    proxy.cut();
    ids.push(...(await rig.write(10)));
  }
  expect((await collected).map(keyOf)).toEqual(await rig.stored(ids));
});

test('goes on where it was with each new token', async () => {
  const client = connect(2);
  const seen: string[] = [];
  const enough = new AbortController();
  const begun = Promise.withResolvers<void>();
  const options = { types: ['dstc.task.*'], signal: enough.signal, onCursor: () => begun.resolve() };
  const reading = (async () => {
    for await (const event of client.events(options)) seen.push(keyOf(event));
  })();
  await begun.promise;
  const ids: string[] = [];
  for (const before = tokens; tokens < before + 3; ) {
    ids.push(...(await rig.write(1)));
    await expect.poll(() => seen.length, { timeout: 20_000 }).toBe(ids.length);
  }
  enough.abort(new Error('enough'));
  await expect(reading).rejects.toThrow('enough');
  expect(seen).toEqual(await rig.stored(ids));
});

test('goes on after a cursor of an earlier process, and ends with what is there when it shall not follow', async () => {
  const before = new Date(Date.now() - 1_000);
  const ids = await rig.write(30);
  const types = ['dstc.task.*'];
  const first: DstcEvent[] = [];
  for await (const event of connect().events({ types, since: before })) {
    first.push(event);
    if (first.length === 12) break;
  }
  const rest: DstcEvent[] = [];
  const cursor = first.at(-1)?.cursor;
  for await (const event of connect().events({ types, cursor, follow: false })) rest.push(event);
  expect([...first, ...rest].map(keyOf)).toEqual(await rig.stored(ids));
});

test('a loop that takes its time misses nothing and holds nobody up', { timeout: 120_000 }, async () => {
  const labels = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`label-${index}`, 'x'.repeat(250)]));
  const resume = Promise.withResolvers<void>();
  const events: string[] = [];
  const reading = (async () => {
    for await (const event of connect().events({ types: ['dstc.task.*'], since: new Date(Date.now() - 60_000) })) {
      if (events.length === 0) await resume.promise;
      events.push(keyOf(event));
      if (events.length === 2_000) break;
    }
  })();
  const ids: string[] = [];
  for (let round = 0; round < 20; round += 1) ids.push(...(await rig.write(100, { labels })));
  const subscribers = async () => {
    const headers = { authorization: `Bearer ${await rig.token('root')}` };
    return (await fetch(`${rig.coordinator.httpUrl}/metrics`, { headers })).text();
  };
  // The coordinator gives it up, and it does not know yet.
  await expect.poll(subscribers, { timeout: 60_000 }).toContain('dstc_event_subscribers 0');
  resume.resolve();
  await reading;
  expect(events).toEqual(await rig.stored(ids));
});

test('throws what another try cannot help, and the reason of its signal', async () => {
  const client = connect();
  const read = async (options: EventsOptions) => {
    for await (const event of client.events(options)) if (event.kind === 'task.failed') break;
  };
  await expect(read({ cursor: 'x' })).rejects.toSatisfy((error) => isReason(error, 'PAGE_TOKEN_INVALID'));
  const controller = new AbortController();
  const reading = read({ signal: controller.signal, onCursor: () => controller.abort(new Error('enough')) });
  await expect(reading).rejects.toThrow('enough');
});
