import { once } from 'node:events';
import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { EventService, SubscribeEventsRequestSchema } from '@dstc/contract/dstc/v1/event_service_pb';
import { createClient } from '@dstc/sdk';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { accessFor } from './access.ts';
import { input } from './input.ts';
import { runLoad, settings } from './parent.ts';

// Many subscribers of one type on a few connections, each of which sees what one producer submits. They only count: reading
// messages would cost this side more than sending them costs the coordinator.
const { seconds, taskType, subscribers = 1 } = settings();
const access = accessFor('producer');
const batch = 100;
const streamsPerConnection = 50;

let submitted = 0;
let delivered = 0;
let onDelivered: () => void = () => undefined;
const channels = Array.from({ length: Math.ceil(subscribers / streamsPerConnection) }, connect);
const token = await access.credentials.token();
await Promise.all(Array.from({ length: subscribers }, (_, index) => subscribe(index)));

runLoad(async () => {
  const producer = createClient(access);
  const startMs = performance.now();
  try {
    while (performance.now() - startMs < seconds * 1_000) {
      await producer.submitMany(Array.from({ length: batch }, () => ({ type: taskType, input: input() })));
      submitted += batch;
    }
    while (delivered < submitted * subscribers) {
      await new Promise<void>((resolve) => {
        onDelivered = resolve;
      });
    }
    const tookSeconds = (performance.now() - startMs) / 1_000;
    return { count: delivered, seconds: tookSeconds, latenciesMs: [] };
  } finally {
    producer.close();
    for (const channel of channels) channel.close();
  }
});

function connect(): Client {
  return new Client(access.address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
}

/** Resolves with the first answer: from there on nothing is missed. */
async function subscribe(index: number): Promise<void> {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const filter = { taskTypes: [taskType], types: ['dstc.task.submitted.v1'] };
  const request = Buffer.from(toBinary(SubscribeEventsRequestSchema, create(SubscribeEventsRequestSchema, { filter })));
  const asIs = (bytes: Buffer) => bytes;
  const path = `/${EventService.typeName}/${EventService.method.subscribeEvents.name}`;
  const call = channels[index % channels.length]?.makeServerStreamRequest(path, asIs, asIs, request, metadata);
  if (call === undefined) throw new Error('there are no connections');
  call.on('error', (error: Error) => {
    if (delivered === submitted * subscribers) return;
    console.error(error);
    process.exit(1);
  });
  call.on('data', (bytes: Buffer) => {
    delivered += eventsIn(bytes);
    onDelivered();
  });
  await once(call, 'data');
}

/** The number of `events` in an answer. */
function eventsIn(bytes: Buffer): number {
  const reader = new BinaryReader(bytes);
  let count = 0;
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) count += 1;
    reader.skip(wireType, field);
  }
  return count;
}
