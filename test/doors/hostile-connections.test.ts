import { once } from 'node:events';
import { connect } from 'node:net';
import { createClient } from '@connectrpc/connect';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectRaw, encodeHeaders, requestFields } from './raw-http2.ts';
import { type Rig, startRig } from './rig.ts';

let rig: Rig;
let port: number;

beforeAll(async () => {
  rig = await startRig({ unaryDeadlineMsDefault: 1_000 });
  port = rig.grpc.address.port;
});
afterAll(() => rig.stop());

afterEach(async () => {
  // Whatever a connection did, the others do not notice.
  for (const transport of [rig.transports.grpc, rig.transports.connect]) {
    const { task } = await createClient(TaskService, transport).submitTask(
      { type: 'x' },
      { headers: await rig.bearer() },
    );
    expect(task?.type).toBe('x');
  }
});

describe('a hostile gRPC connection', () => {
  it('is closed when it resets requests as fast as it opens them', async () => {
    const raw = await connectRaw(port);
    const { authorization } = await rig.bearer();
    for (let stream = 1; stream < 20_000 && raw.socket.writable; stream += 2) {
      raw.headers(stream, requestFields(port, [['authorization', authorization]]));
      raw.reset(stream);
    }
    expect(await raw.closedWithin(5_000)).toBe(true);
  });

  it('is closed when its headers never end', async () => {
    const raw = await connectRaw(port);
    raw.headers(1, requestFields(port), { endHeaders: false });
    for (let count = 0; count < 2_000 && raw.socket.writable; count += 1) {
      raw.continuation(1, encodeHeaders([[`x-${count}`, 'y'.repeat(1_000)]]));
    }
    expect(await raw.closedWithin(5_000)).toBe(true);
  });

  it.each(['ping', 'settings'] as const)('is not listened to for ever when it floods with %s frames', async (kind) => {
    const raw = await connectRaw(port);
    // It reads none of the answers, so that they pile up on the server.
    raw.socket.pause();
    for (let count = 0; count < 200_000 && raw.socket.writable; count += 1) raw[kind]();
    raw.socket.resume();
    raw.close();
  });

  it('gets no answer but an end to a request with headers over 64 KiB', async () => {
    const raw = await connectRaw(port);
    raw.headers(1, requestFields(port), { endHeaders: false });
    for (let part = 0; part < 5; part += 1) raw.continuation(1, encodeHeaders([[`x-${part}`, 'y'.repeat(16_000)]]));
    raw.continuation(1, Buffer.alloc(0));
    raw.headers(1, []);
    expect(await raw.closedWithin(5_000)).toBe(true);
  });

  it('is refused two tokens even when both are good', async () => {
    const raw = await connectRaw(port);
    const { authorization } = await rig.bearer();
    const token = ['authorization', authorization] as const;
    const started = performance.now();
    // Neither request sends its body, so only the one that is refused from its headers is answered before the deadline.
    raw.headers(1, requestFields(port, [token]));
    raw.headers(3, requestFields(port, [token, token]));
    await expect.poll(() => raw.ended(3)).toBe(true);
    expect(performance.now() - started).toBeLessThan(900);
    expect(raw.ended(1)).toBe(false);
    raw.close();
  });

  it('is closed when it speaks something else', async () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    socket.resume();
    await once(socket, 'close');
  });
});

describe('a hostile HTTP connection', () => {
  async function exchange(text: string): Promise<string> {
    const socket = connect(rig.http.address.port, '127.0.0.1');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', () => undefined);
    socket.write(text);
    await once(socket, 'close');
    return Buffer.concat(chunks).toString('utf8');
  }

  it.each([
    [
      'headers over 64 KiB',
      `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(70_000)}\r\n\r\n`,
      'HTTP/1.1 431',
      'MESSAGE_TOO_LARGE',
    ],
    ['another protocol', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'HTTP/1.1 400', 'FIELD_INVALID'],
    [
      'no host',
      'POST /dstc.v1.TaskService/SubmitTask HTTP/1.0\r\ncontent-type: application/json\r\n\r\n',
      'HTTP/1.1 400',
      'FIELD_INVALID',
    ],
    [
      'two lengths',
      'POST /dstc.v1.TaskService/SubmitTask HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n',
      'HTTP/1.1 400',
      'FIELD_INVALID',
    ],
    [
      'a length and chunks',
      'POST /dstc.v1.TaskService/SubmitTask HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      'HTTP/1.1 400',
      'FIELD_INVALID',
    ],
  ])('is refused %s', async (_, text, status, reason) => {
    const answer = await exchange(text);
    expect(answer).toContain(status);
    expect(answer).toContain(`"reason":"${reason}"`);
  });

  it.each([
    ['headers', 'POST /dstc.v1.TaskService/SubmitTask HTTP/1.1\r\nhost: x\r\ncontent-le'],
    [
      'body',
      'POST /dstc.v1.TaskService/SubmitTask HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\nauthorization: TOKEN\r\n\r\n{"ty',
    ],
  ])('is not told that its request is wrong when that was cut off in its %s', async (_, text) => {
    const { authorization } = await rig.bearer();
    const socket = connect({ port: rig.http.address.port, host: '127.0.0.1', allowHalfOpen: true });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', () => undefined);
    socket.end(text.replace('TOKEN', authorization));
    await once(socket, 'close');
    expect(Buffer.concat(chunks).toString('utf8')).toBe('');
  });

  it('is answered and closed when it goes on sending after a refusal', async () => {
    const socket = connect(rig.http.address.port, '127.0.0.1');
    socket.on('error', () => undefined);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.write(
      'POST /dstc.v1.TaskService/SubmitTask HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n',
    );
    const sending = setInterval(() => socket.writable && socket.write('1\r\nx\r\n'), 50);
    await once(socket, 'close');
    clearInterval(sending);
    expect(Buffer.concat(chunks).toString('utf8')).toContain('TOKEN_MISSING');
  });
});
