import { create } from '@bufbuild/protobuf';
import { EventDisposition, PublishedEventSchema } from '@dstc/contract/dstc/v1/cloud_event_pb';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { CloudEvent } from '../../server/domain/cloud-event.ts';
import type { Door } from '../../server/doors/door.ts';
import { startHttpDoor } from '../../server/doors/http.ts';
import type { EventIntake, Publisher } from '../../server/doors/services/publish-events.ts';
import { startRig } from './rig.ts';

let rig: Awaited<ReturnType<typeof startRig>>;
let door: Door;
let url: string;
/** What has come through the door. */
let taken: { event: CloudEvent; from: Publisher }[] = [];
/** What it does there. */
let work: (from: Publisher) => Promise<void> = async () => undefined;

const intake: EventIntake = {
  async publish(event, from) {
    taken.push({ event, from });
    await work(from);
    return create(PublishedEventSchema, { disposition: EventDisposition.IGNORED });
  },
  publishAll: async () => [],
};

beforeAll(async () => {
  rig = await startRig({ unaryDeadlineMsDefault: 600, unaryDeadlineMsMax: 1_500, messageBytesMax: 100_000 });
  door = await startHttpDoor(rig.deps, {
    address: '127.0.0.1:0',
    services: rig.services,
    limits: rig.limits,
    events: intake,
  });
  url = `http://127.0.0.1:${door.address.port}/v1/events`;
});
afterAll(async () => {
  await door.stop();
  await rig.stop();
});
beforeEach(() => {
  taken = [];
  work = async () => undefined;
});

const eventHeaders = {
  'ce-specversion': '1.0',
  'ce-id': '1',
  'ce-source': '/a',
  'ce-type': 't',
  'content-type': 'text/plain',
};

async function send(init: RequestInit & { duplex?: 'half' }, path = '') {
  const response = await fetch(`${url}${path}`, { method: 'POST', ...init });
  const json = JSON.parse(await response.text());
  return { status: response.status, reason: json.details?.[0]?.debug.reason, json, headers: response.headers };
}

/** A body of which nothing more comes after its first bytes. */
function endless(first = 'x'): ReadableStream {
  return new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from(first)) });
}

it('hands on an event with its caller and its trace', async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const headers = { ...(await rig.bearer()), ...eventHeaders, traceparent };
  expect(await send({ body: 'hello', headers })).toMatchObject({ status: 200 });
  expect(taken).toMatchObject([{ event: { id: '1' }, from: { namespace: 'default', traceParent: traceparent } }]);
});

describe('a caller that has not said who it is', () => {
  it.each([
    ['no token', {}, 'TOKEN_MISSING'],
    ['a token that is none', { authorization: 'Bearer x' }, 'TOKEN_INVALID'],
  ])('is refused before its body is read: %s', async (_, headers, reason) => {
    const started = performance.now();
    const answer = await send({ body: endless(), duplex: 'half', headers: { ...eventHeaders, ...headers } });
    expect(answer).toMatchObject({ status: 401, reason });
    expect(performance.now() - started).toBeLessThan(500);
    expect(taken).toEqual([]);
  });

  it('is refused before its body is read when it may do nothing in the namespace', async () => {
    const headers = { ...(await rig.bearer()), ...eventHeaders };
    const answer = await send({ body: endless(), duplex: 'half', headers }, '/elsewhere');
    expect(answer).toMatchObject({ status: 403, reason: 'PERMISSION_MISSING' });
  });
});

it('answers a body that never ends at the deadline', async () => {
  const started = performance.now();
  const headers = { ...(await rig.bearer()), ...eventHeaders };
  const answer = await send({ body: endless(), duplex: 'half', headers });
  expect(answer).toMatchObject({ status: 504, reason: 'DEADLINE_EXCEEDED' });
  expect(performance.now() - started).toBeGreaterThan(550);
  expect(performance.now() - started).toBeLessThan(850);
  expect(taken).toEqual([]);
});

it('answers at the deadline when the work takes longer, and tells the work', async () => {
  let reason: unknown;
  const told = new Promise<void>((resolve) => {
    work = ({ signal }) =>
      new Promise(() => {
        signal.addEventListener('abort', () => {
          reason = signal.reason;
          resolve();
        });
      });
  });
  const answer = await send({ body: 'x', headers: { ...(await rig.bearer()), ...eventHeaders } });
  expect(answer).toMatchObject({ status: 504, reason: 'DEADLINE_EXCEEDED' });
  await told;
  expect(reason).toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
});

describe('a body that is too large', () => {
  it('is refused by its announced length, before it comes', async () => {
    const headers = { ...(await rig.bearer()), ...eventHeaders };
    const answer = await send({ body: 'x'.repeat(100_001), headers });
    expect(answer).toMatchObject({ status: 413, reason: 'MESSAGE_TOO_LARGE' });
    expect(taken).toEqual([]);
  });

  it('is refused as soon as there is too much of it', async () => {
    const headers = { ...(await rig.bearer()), ...eventHeaders };
    const answer = await send({ body: endless('x'.repeat(100_001)), duplex: 'half', headers });
    expect(answer).toMatchObject({ status: 413, reason: 'MESSAGE_TOO_LARGE' });
    expect(taken).toEqual([]);
  });
});

it.each(['GET', 'PUT', 'DELETE'])('refuses %s', async (method) => {
  const answer = await send({ method, headers: await rig.bearer() });
  expect(answer).toMatchObject({ status: 405, reason: 'UNIMPLEMENTED' });
  expect(answer.headers.get('allow')).toBe('OPTIONS, POST');
});

it('consents to senders that ask whether they may send, and takes nothing of them without a token', async () => {
  const headers = { 'webhook-request-origin': 'eventgrid.azure.net', 'webhook-request-rate': '120' };
  const answer = await fetch(url, { method: 'OPTIONS', headers });
  expect(answer.status).toBe(204);
  expect(answer.headers.get('allow')).toBe('OPTIONS, POST');
  expect(answer.headers.get('webhook-allowed-origin')).toBe('eventgrid.azure.net');
  expect(answer.headers.get('webhook-allowed-rate')).toBe('*');
  const unasked = await fetch(url, { method: 'OPTIONS' });
  expect([unasked.status, unasked.headers.get('webhook-allowed-origin')]).toEqual([204, null]);

  const origin = { origin: 'eventgrid.azure.net' };
  expect(await send({ body: 'x', headers: { ...eventHeaders, ...origin } })).toMatchObject({ status: 401 });
  expect(taken).toEqual([]);
});

it.each(['/default/more', 'x', '/a/b/'])('has nothing at /v1/events%s', async (path) => {
  expect(await send({ body: 'x', headers: { ...(await rig.bearer()), ...eventHeaders } }, path)).toMatchObject({
    status: 404,
    reason: 'UNIMPLEMENTED',
  });
});

it('refuses an attribute that stands twice', async () => {
  const { request } = await import('node:http');
  const { authorization = '' } = await rig.bearer();
  const answer = await new Promise<string>((resolve, reject) => {
    const call = request(
      url,
      { method: 'POST', headers: { ...eventHeaders, 'ce-id': ['1', '2'], authorization } },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve(`${response.statusCode} ${text}`));
      },
    );
    call.on('error', reject);
    call.end('x');
  });
  expect(answer).toMatch(/^400 .*ce-id: stands more than once/);
  expect(taken).toEqual([]);
});
