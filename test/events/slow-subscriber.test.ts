import { connect } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { EventService, SubscribeEventsRequestSchema } from '@dstc/contract/dstc/v1/event_service_pb';
import { Client, credentials, Metadata, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EventRig, startEventRig } from './rig.ts';
import { keyOf } from './subscriber.ts';

let rig: EventRig;
beforeAll(async () => {
  rig = await startEventRig();
});
afterAll(() => rig.stop());

const path = `/${EventService.typeName}/${EventService.method.subscribeEvents.name}`;
/** As much as a task may have: what nobody reads must be more than what sockets hold. */
const labels = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`label-${index}`, 'x'.repeat(250)]));

test('a subscriber that does not read is cut off on either port, and the others do not notice', async () => {
  const reader = await rig.subscribe();
  const token = await rig.token('root');
  const stalled = [await stallOverGrpc(token, status.RESOURCE_EXHAUSTED), await stallOverHttp(token)];
  await expect.poll(subscribers).toBe(3);
  const ids: string[] = [];
  for (let count = 0; count < 20; count += 1) {
    const written = await rig.write(100, { labels });
    expect((await reader.events(100)).map(keyOf).toSorted()).toEqual(written.map((id) => `${id}:1`).toSorted());
    ids.push(...written);
  }
  expect(ids).toHaveLength(2_000);
  await expect.poll(subscribers, { timeout: 30_000 }).toBe(1);
  for (const end of stalled) await end();
});

test('a subscriber that does not read is not served on when its token has expired', async () => {
  const others = await subscribers();
  // Well before the deadline of a write.
  const exp = Math.floor(Date.now() / 1_000) + 6;
  const token = await rig.coordinator.identity.forge({ sub: 'root', client_id: 'root', exp });
  const stalled = [await stallOverGrpc(token, status.UNAUTHENTICATED), await stallOverHttp(token)];
  await expect.poll(subscribers).toBe(others + 2);
  await rig.write(2_000, { labels });
  await expect.poll(subscribers, { timeout: 20_000 }).toBe(others);
  expect(Date.now() - exp * 1_000).toBeLessThan(2_000);
  for (const end of stalled) await end();
});

/** Of the node, by its metrics. */
async function subscribers(): Promise<number> {
  const headers = { authorization: `Bearer ${await rig.token('root')}` };
  const text = await (await fetch(`${rig.coordinator.httpUrl}/metrics`, { headers })).text();
  return Number(/^dstc_event_subscribers (\d+)$/m.exec(text)?.[1]);
}

/** Answers with what reads on and checks how the stream has ended. */
async function stallOverGrpc(token: string, code: status): Promise<() => Promise<void>> {
  const client = new Client(rig.coordinator.grpcAddress, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const asIs = (bytes: Buffer) => bytes;
  const request = Buffer.from(toBinary(SubscribeEventsRequestSchema, create(SubscribeEventsRequestSchema)));
  const call = client.makeServerStreamRequest(path, asIs, asIs, request, metadata);
  const ended = new Promise<number | undefined>((resolve) => {
    call.on('error', (error: { readonly code?: number }) => resolve(error.code));
    call.on('end', () => resolve(undefined));
  });
  await new Promise((resolve) => call.once('data', resolve));
  call.pause();
  return async () => {
    call.resume();
    expect(await ended).toBe(code);
    client.close();
  };
}

/** Answers with what reads on and checks that the stream has broken off. */
async function stallOverHttp(token: string): Promise<() => Promise<void>> {
  const { hostname, port } = new URL(rig.coordinator.httpUrl);
  const socket = connect(Number(port), hostname);
  const message = Buffer.from('{}');
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.byteLength, 1);
  const head = [
    `POST ${path} HTTP/1.1`,
    'host: x',
    `authorization: Bearer ${token}`,
    'content-type: application/connect+json',
    `content-length: ${prefix.byteLength + message.byteLength}`,
  ];
  const closed = new Promise((resolve) => {
    socket.on('error', () => undefined);
    socket.once('close', resolve);
  });
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  socket.write(Buffer.concat([prefix, message]));
  await new Promise((resolve) => socket.once('data', resolve));
  socket.pause();
  return async () => {
    let last = '';
    socket.on('data', (bytes) => {
      last = bytes.subarray(-5).toString();
    });
    socket.resume();
    await closed;
    // There was no way to tell it why.
    expect(last).not.toBe('0\r\n\r\n');
  };
}
