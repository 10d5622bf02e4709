import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { frame, rawCall, rawRefusal, submitTaskPath, withSession } from './raw-grpc.ts';
import { type Refusal, type Rig, startRig } from './rig.ts';

let rig: Rig;

beforeAll(async () => {
  rig = await startRig({ unaryDeadlineMsDefault: 600, unaryDeadlineMsMax: 1_500 });
});
afterAll(() => rig.stop());

/** A length-delimited field. */
function field(number: number, bytes: Uint8Array): Buffer {
  const varint: number[] = [];
  for (let rest = bytes.byteLength; ; rest >>>= 7) {
    varint.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest);
    if (rest <= 0x7f) break;
  }
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...varint]), bytes]);
}

/** `input.json` as lists in lists. */
function nested(levels: number): Buffer {
  let value: Buffer = Buffer.from([0x20, 0x01]);
  for (let level = 0; level < levels; level += 1) value = field(6, field(1, value));
  return Buffer.concat([field(2, Buffer.from('x')), field(3, field(2, value))]);
}

const type = field(2, Buffer.from('x'));
const unparsable: Readonly<Record<string, Uint8Array>> = {
  'a truncated field': Buffer.from([0x12, 0x05, 0x61]),
  'a wrong wire type': Buffer.from([0x10, 0x05, 0x12, 0x01]),
  'an endless varint': Buffer.alloc(16, 0xff),
  'a group that never ends': Buffer.from([0x13, 0x13, 0x13]),
  'field number 0': Buffer.from([0x00, 0x00]),
  '101 levels of nesting': nested(101),
  '100,000 levels of nesting': nested(2_000),
  'invalid UTF-8': field(2, Buffer.from([0xff, 0xfe])),
};
const invalid: Readonly<Record<string, readonly [Uint8Array, field: string]>> = {
  'NUL in a name': [field(2, Buffer.from('a\0b')), 'type'],
  'no name': [Buffer.alloc(0), 'type'],
  'a NATS wildcard': [field(2, Buffer.from('a.>')), 'type'],
  'a path': [field(2, Buffer.from('../../etc/passwd')), 'type'],
  SQL: [field(2, Buffer.from("'; DROP TABLE task; --")), 'type'],
  'NaN as a multiplier': [
    Buffer.concat([type, field(9, Buffer.from([0x19, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]))]),
    'retry_policy.multiplier',
  ],
  'a duration out of range': [
    Buffer.concat([type, field(6, Buffer.from([0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]))]),
    'delay',
  ],
  'a timestamp out of range': [
    Buffer.concat([type, field(7, Buffer.from([0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]))]),
    'available_time',
  ],
  'a negative priority': [Buffer.concat([type, Buffer.from([0x28, ...Array(9).fill(0xff), 0x01])]), 'priority'],
};

async function overGrpc(message: Uint8Array): Promise<Refusal> {
  return rawRefusal(rig.grpcUrl, { headers: await rig.bearer(), body: frame(message) });
}

async function overHttp(
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string>,
): Promise<Refusal & { readonly status: number }> {
  const response = await fetch(`${rig.httpUrl}${submitTaskPath}`, {
    method: 'POST',
    body,
    headers: { ...(await rig.bearer()), ...headers },
  });
  return { status: response.status, ...refusalOfJson(await response.json()) };
}

function refusalOfJson(json: unknown): Refusal {
  const {
    code,
    message,
    details = [],
  } = json as { code: string; message: string; details?: { type: string; debug: never }[] };
  const infos = details
    .filter((detail) => detail.type === 'google.rpc.ErrorInfo')
    .map((detail) => detail.debug as { reason: string; metadata?: Record<string, string> });
  const fields = details
    .filter((detail) => detail.type === 'google.rpc.BadRequest')
    .flatMap((detail) =>
      (detail.debug as { fieldViolations: { field: string }[] }).fieldViolations.map((violation) => violation.field),
    );
  return {
    code,
    reason: infos[0]?.reason ?? '',
    infos: infos.length,
    metadata: infos[0]?.metadata ?? {},
    fields,
    message,
  };
}

const proto = { 'content-type': 'application/proto' };
const json = { 'content-type': 'application/json' };
const body = (bytes: Uint8Array) => new Uint8Array(bytes);

describe('a message that cannot be parsed', () => {
  it.each(Object.entries(unparsable))('is refused over gRPC: %s', async (_, message) => {
    expect(await overGrpc(message)).toMatchObject({ code: 'InvalidArgument', reason: 'FIELD_INVALID', infos: 1 });
  });

  it.each(Object.entries(unparsable))('is refused over HTTP: %s', async (_, message) => {
    expect(await overHttp(body(message), proto)).toMatchObject({ status: 400, reason: 'FIELD_INVALID', infos: 1 });
  });

  it.each([
    '',
    '{',
    '[]',
    'null',
    '{"type":1}',
    '{"type":"x","priority":"high"}',
    '{"type":"\\ud800"}',
    `${'['.repeat(5_000)}`,
  ])('is refused as JSON: %s', async (text) => {
    expect(await overHttp(text, json)).toMatchObject({ status: 400, reason: 'FIELD_INVALID', infos: 1 });
  });
});

describe('a message that breaks a rule', () => {
  it.each(Object.entries(invalid))('is refused over gRPC with the field: %s', async (_, [message, name]) => {
    expect(await overGrpc(message)).toMatchObject({
      code: 'InvalidArgument',
      reason: 'FIELD_INVALID',
      infos: 1,
      fields: expect.arrayContaining([name]),
    });
  });

  it.each(Object.entries(invalid))('is refused over HTTP with the field: %s', async (_, [message, name]) => {
    expect(await overHttp(body(message), proto)).toMatchObject({
      status: 400,
      reason: 'FIELD_INVALID',
      infos: 1,
      fields: expect.arrayContaining([name]),
    });
  });
});

describe('a length that lies', () => {
  const lie = frame(Buffer.from('few'), { length: 2 ** 32 - 1 });

  it('is refused over gRPC before the memory is taken', async () => {
    const refusal = await rawRefusal(rig.grpcUrl, { headers: await rig.bearer(), body: lie, end: false });
    expect(refusal).toMatchObject({
      code: 'ResourceExhausted',
      reason: 'MESSAGE_TOO_LARGE',
      infos: 1,
      metadata: { limit_bytes: '8388608' },
    });
  });

  it('is not even looked at without a token', async () => {
    const refusal = await rawRefusal(rig.grpcUrl, { body: lie, end: false });
    expect(refusal).toMatchObject({ code: 'Unauthenticated', reason: 'TOKEN_MISSING', infos: 1 });
  });

  it('is not even looked at with a wrong token', async () => {
    const refusal = await rawRefusal(rig.grpcUrl, {
      headers: { authorization: 'Bearer wrong' },
      body: lie,
      end: false,
    });
    expect(refusal).toMatchObject({ code: 'Unauthenticated', reason: 'TOKEN_INVALID', infos: 1 });
  });
});

describe('a gzip bomb', () => {
  const bomb = gzipSync(Buffer.alloc(512 * 1024 * 1024));

  it('is refused over gRPC', async () => {
    const headers = { ...(await rig.bearer()), 'grpc-encoding': 'gzip', 'grpc-timeout': '1500m' };
    const refusal = await rawRefusal(rig.grpcUrl, { headers, body: frame(bomb, { flag: 1 }) });
    expect(refusal).toMatchObject({ code: 'ResourceExhausted', reason: 'MESSAGE_TOO_LARGE', infos: 1 });
  });

  it('is refused over HTTP', async () => {
    const refusal = await overHttp(body(bomb), { ...proto, 'content-encoding': 'gzip' });
    expect(refusal).toMatchObject({ status: 429, reason: 'MESSAGE_TOO_LARGE', infos: 1 });
  });

  it('is refused when it is no gzip at all', async () => {
    const headers = { ...(await rig.bearer()), 'grpc-encoding': 'gzip' };
    const refusal = await rawRefusal(rig.grpcUrl, { headers, body: frame(Buffer.from('not gzip'), { flag: 1 }) });
    expect(refusal).toMatchObject({ code: 'InvalidArgument', reason: 'FIELD_INVALID', infos: 1 });
    expect(await overHttp('not gzip', { ...proto, 'content-encoding': 'gzip' })).toMatchObject({
      reason: 'FIELD_INVALID',
      infos: 1,
    });
  });

  it('is refused in an encoding that nobody knows', async () => {
    const headers = { ...(await rig.bearer()), 'grpc-encoding': 'lzma' };
    const refusal = await rawRefusal(rig.grpcUrl, { headers, body: frame(Buffer.from('x'), { flag: 1 }) });
    expect(refusal).toMatchObject({ code: 'Unimplemented', reason: 'UNIMPLEMENTED', infos: 1 });
    expect(await overHttp('x', { ...proto, 'content-encoding': 'lzma' })).toMatchObject({
      reason: 'UNIMPLEMENTED',
      infos: 1,
    });
  });
});

describe('a body that never ends', () => {
  it.each([
    ['the server’s deadline', {}, 600],
    ['the client’s deadline', { 'grpc-timeout': '200m' }, 200],
    ['the bound of the client’s deadline', { 'grpc-timeout': '1000S' }, 1_500],
    ['the bound of a deadline that overflows', { 'grpc-timeout': '99999999H' }, 1_500],
    ['the bound of a deadline that wraps around', { 'grpc-timeout': '1193047H' }, 1_500],
  ])('is answered over gRPC at %s', async (_, headers, ms) => {
    const started = performance.now();
    const refusal = await rawRefusal(rig.grpcUrl, {
      headers: { ...(await rig.bearer()), ...headers },
      body: frame(Buffer.from('x'), { length: 1_000 }),
      end: false,
    });
    expect(refusal).toMatchObject({ code: 'DeadlineExceeded', reason: 'DEADLINE_EXCEEDED', infos: 1 });
    expect(performance.now() - started).toBeGreaterThan(ms - 50);
    expect(performance.now() - started).toBeLessThan(ms + 250);
  });

  it.each([
    ['the server’s deadline', {}, 600],
    ['the client’s deadline', { 'connect-timeout-ms': '200' }, 200],
    ['the bound of an absurd deadline', { 'connect-timeout-ms': '9999999999' }, 1_500],
  ])('is answered over HTTP at %s', async (_, headers, ms) => {
    const started = performance.now();
    const endless = new ReadableStream({ start: (controller) => controller.enqueue(Buffer.from('{"type":')) });
    const response = await fetch(`${rig.httpUrl}${submitTaskPath}`, {
      method: 'POST',
      headers: { ...(await rig.bearer()), ...json, ...headers },
      body: endless,
      duplex: 'half',
    } as RequestInit);
    expect(refusalOfJson(await response.json())).toMatchObject({ reason: 'DEADLINE_EXCEEDED', infos: 1 });
    expect(performance.now() - started).toBeGreaterThan(ms - 50);
    expect(performance.now() - started).toBeLessThan(ms + 250);
  });
});

describe('a timeout that is none', () => {
  it.each(['1', 'S', '-1S', '123456789S', '1.5S', '1s', 'NaNH'])('is refused over gRPC: %s', async (timeout) => {
    const refusal = await rawRefusal(rig.grpcUrl, { headers: { ...(await rig.bearer()), 'grpc-timeout': timeout } });
    expect(refusal).toMatchObject({
      code: 'InvalidArgument',
      reason: 'FIELD_INVALID',
      infos: 1,
      fields: ['grpc-timeout'],
    });
  });

  it.each(['-1', 'soon', '1e3', '99999999999'])('is refused over HTTP: %s', async (timeout) => {
    expect(await overHttp('{"type":"x"}', { ...json, 'connect-timeout-ms': timeout })).toMatchObject({
      status: 400,
      reason: 'FIELD_INVALID',
      infos: 1,
    });
  });

  it('is taken at its word when it is 0', async () => {
    const refusal = await rawRefusal(rig.grpcUrl, {
      headers: { ...(await rig.bearer()), 'grpc-timeout': '0n' },
      body: frame(type),
    });
    expect(refusal).toMatchObject({ code: 'DeadlineExceeded', reason: 'DEADLINE_EXCEEDED', infos: 1 });
  });
});

describe('a call to what is not there', () => {
  it.each(['/dstc.v1.TaskService/Nothing', '/nothing.v1.NothingService/Do', '/', '/%00'])(
    'is refused over gRPC: %s',
    async (path) => {
      const refusal = await rawRefusal(rig.grpcUrl, { path, headers: await rig.bearer(), body: frame(type) });
      expect(refusal).toMatchObject({ code: 'Unimplemented', reason: 'UNIMPLEMENTED', infos: 1 });
    },
  );

  it.each([
    ['POST', '/dstc.v1.TaskService/Nothing', 404],
    ['GET', '/nothing', 404],
    ['GET', '/dstc.v1.TaskService/SubmitTask', 405],
    ['DELETE', '/dstc.v1.TaskService/SubmitTask', 405],
    ['POST', '/healthz', 405],
  ])('is refused over HTTP: %s %s', async (method, path, status) => {
    const response = await fetch(`${rig.httpUrl}${path}`, { method, headers: { ...(await rig.bearer()), ...json } });
    expect(response.status).toBe(status);
    expect(refusalOfJson(await response.json())).toMatchObject({
      code: 'unimplemented',
      reason: 'UNIMPLEMENTED',
      infos: 1,
    });
  });

  it('is refused over HTTP with a type of content that nobody knows', async () => {
    expect(await overHttp('x', { 'content-type': 'text/plain' })).toMatchObject({
      status: 415,
      reason: 'UNIMPLEMENTED',
      infos: 1,
    });
  });
});

describe('a call with the wrong number of messages', () => {
  it.each([
    ['none', Buffer.alloc(0)],
    ['two', Buffer.concat([frame(type), frame(type)])],
  ])('is refused over gRPC: %s', async (_, bytes) => {
    const refusal = await rawRefusal(rig.grpcUrl, { headers: await rig.bearer(), body: bytes });
    expect(refusal).toMatchObject({ code: 'Unimplemented', reason: 'UNIMPLEMENTED', infos: 1 });
  });
});

it('goes on serving after all of this', async () => {
  const headers = await rig.bearer();
  await withSession(rig.grpcUrl, (session) => rawCall(session, { headers, body: frame(type) }));
  expect((await fetch(`${rig.httpUrl}/readyz`)).status).toBe(200);
});
