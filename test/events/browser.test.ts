import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import {
  EventService,
  type SubscribeEventsResponse,
  SubscribeEventsResponseSchema,
} from '@dstc/contract/dstc/v1/event_service_pb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EventRig, startEventRig } from './rig.ts';
import { keyOf } from './subscriber.ts';

const origin = 'https://console.example';
const lastFlag = 2;

let rig: EventRig;
beforeAll(async () => {
  rig = await startEventRig({ DSTC_CORS_ORIGINS: origin });
});
afterAll(() => rig.stop());

test('a page of an allowed origin reads events with fetch alone, and how the stream ends', async () => {
  const path = `/${EventService.typeName}/${EventService.method.subscribeEvents.name}`;
  const exp = Math.floor(Date.now() / 1_000) + 4;
  const token = await rig.coordinator.identity.forge({ sub: 'root', client_id: 'root', exp });
  const message = new TextEncoder().encode(JSON.stringify({ filter: { taskTypes: ['a.plain'] } }));
  const body = new Uint8Array(5 + message.length);
  new DataView(body.buffer).setUint32(1, message.length);
  body.set(message, 5);
  const headers = { origin, authorization: `Bearer ${token}`, 'content-type': 'application/connect+json' };
  const response = await fetch(`${rig.coordinator.httpUrl}${path}`, { method: 'POST', headers, body });
  expect(response.status).toBe(200);
  expect(response.headers.get('access-control-allow-origin')).toBe(origin);

  const answers = readAnswers(response.body as ReadableStream<Uint8Array>);
  const first = await answers.next();
  expect(first.value).toMatchObject({ events: [], cursor: expect.stringMatching(/./) });
  const written = rig.write(10);
  const seen: string[] = [];
  while (seen.length < 10) {
    const { value, done } = await answers.next();
    if (done) throw new Error('the stream has ended early');
    seen.push(...value.events.map(keyOf));
  }
  expect(seen).toEqual(await rig.stored(await written));
  let last = await answers.next();
  while (!last.done) last = await answers.next();
  expect(last.value).toMatchObject({ error: { code: 'unauthenticated' } });
});

/** Yields answers and returns the message of the end. */
async function* readAnswers(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<SubscribeEventsResponse, JsonValue, undefined> {
  let rest = new Uint8Array();
  for await (const piece of stream) {
    rest = Uint8Array.from([...rest, ...piece]);
    while (rest.length >= 5) {
      const end = 5 + new DataView(rest.buffer).getUint32(1);
      if (rest.length < end) break;
      const json: JsonValue = JSON.parse(new TextDecoder().decode(rest.slice(5, end)));
      if (rest[0] === lastFlag) return json;
      yield fromJson(SubscribeEventsResponseSchema, json);
      rest = rest.slice(end);
    }
  }
  throw new Error('the stream was cut off');
}
