import { once } from 'node:events';
import { connect } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { WorkerService } from '@dstc/contract/dstc/v1/worker_service_pb';
import { Client, credentials, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startGrpcDoor } from '../../server/doors/grpc.ts';
import { startHttpDoor } from '../../server/doors/http.ts';
import { openRawWorker } from '../setup/raw-worker.ts';
import { connectRaw, requestFields } from './raw-http2.ts';
import { type Rig, refusalOf, startRig } from './rig.ts';

const id = '01890a5d-ac96-774b-bcce-b302099a8057';
const other = '01890a5d-ac96-774b-bcce-b302099a8058';
let rig: Rig;

beforeAll(async () => {
  rig = await startRig({ streamWriteDeadlineMs: 500, streamStatusMs: 500, drainMs: 2_000 });
});
afterAll(() => rig.stop());

describe('the HTTP port', () => {
  const post = async (path: string, body: unknown, headers = {}) =>
    fetch(`${rig.httpUrl}${path}`, {
      method: 'POST',
      headers: { ...(await rig.bearer()), 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });

  it('takes and gives plain JSON', async () => {
    const response = await post('/dstc.v1.TaskService/SubmitTask', { type: 'x', input: { json: { to: ['ann'] } } });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ task: { type: 'x', idempotencyKey: 'true' } });
  });

  it('answers GET for RPCs without side effects', async () => {
    const query = `encoding=json&message=${encodeURIComponent(JSON.stringify({ id }))}`;
    const response = await fetch(`${rig.httpUrl}/dstc.v1.TaskService/GetTask?${query}`, {
      headers: await rig.bearer(),
    });
    expect(await response.json()).toMatchObject({ task: { id } });
  });

  it('says what it is', async () => {
    expect(await (await fetch(rig.httpUrl)).text()).toMatch(/^DSTC, a coordinator/);
  });

  it('tells apart being alive and being ready', async () => {
    rig.setReady(false);
    expect((await fetch(`${rig.httpUrl}/readyz`)).status).toBe(503);
    expect((await fetch(`${rig.httpUrl}/healthz`)).status).toBe(200);
    rig.setReady(true);
    expect((await fetch(`${rig.httpUrl}/readyz`)).status).toBe(200);
  });

  it.each([
    ['nobody', undefined, 401],
    ['a producer', 'producer', 403],
    ['a worker, who may monitor one namespace,', 'worker', 403],
    ['an operator, who may monitor all,', 'operator', 200],
  ] as const)('answers %s who asks for metrics', async (_, client, status) => {
    const headers = client === undefined ? {} : await rig.bearer(client);
    expect((await fetch(`${rig.httpUrl}/metrics`, { headers })).status).toBe(status);
  });

  it('lets pages of configured origins call, and no others', async () => {
    const door = await startHttpDoor(rig.deps, {
      address: '127.0.0.1:0',
      services: rig.services,
      limits: rig.limits,
      corsOrigins: ['https://console.example'],
    });
    const preflight = (origin: string) =>
      fetch(`http://127.0.0.1:${door.address.port}/dstc.v1.TaskService/SubmitTask`, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
      });
    const allowed = await preflight('https://console.example');
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://console.example');
    expect(allowed.headers.get('access-control-allow-headers')).toContain('Authorization');
    expect((await preflight('https://evil.example')).headers.get('access-control-allow-origin')).toBeNull();
    await door.stop();
  });

  it('cuts off a client that does not read its stream', async () => {
    const ended = rig.seen.streamsEnded;
    const { authorization } = await rig.bearer();
    const message = Buffer.from(JSON.stringify({ ids: [id, other] }));
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.byteLength, 1);
    const socket = connect(rig.http.address.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.pause();
    socket.write(
      `POST /dstc.v1.TaskService/WatchTasks HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\ncontent-type: application/connect+json\r\ncontent-length: ${message.byteLength + 5}\r\n\r\n`,
    );
    socket.write(Buffer.concat([prefix, message]));
    await expect.poll(() => rig.seen.streamsEnded, { timeout: 5_000 }).toBe(ended + 1);
    socket.destroy();
  });
});

describe('the gRPC port', () => {
  const asIs = (bytes: Buffer) => bytes;
  /** A message with one string in it. */
  const text = (field: number, value: string) =>
    Buffer.concat([Buffer.from([(field << 3) | 2, value.length]), Buffer.from(value)]);
  const connectPlain = () => new Client(`127.0.0.1:${rig.grpc.address.port}`, credentials.createInsecure());

  it('tells health without a token', async () => {
    const client = connectPlain();
    const check = (name: string) =>
      new Promise((resolve) => {
        const path = '/grpc.health.v1.Health/Check';
        client.makeUnaryRequest(path, asIs, asIs, text(1, name), (error, answer) =>
          resolve(error?.code ?? answer?.[1]),
        );
      });
    const serving = 1;
    expect(await check('')).toBe(serving);
    expect(await check('dstc.v1.TaskService')).toBe(serving);
    expect(await check('nothing.v1.NothingService')).toBe(status.NOT_FOUND);
    client.close();
  });

  it.each(['grpc.reflection.v1', 'grpc.reflection.v1alpha'])('describes itself by %s without a token', async (name) => {
    const client = connectPlain();
    const stream = client.makeBidiStreamRequest(`/${name}.ServerReflection/ServerReflectionInfo`, asIs, asIs);
    const ask = async (request: Buffer) => {
      stream.write(request);
      const [answer] = await once(stream, 'data');
      return String(answer);
    };
    const fields = { fileByFilename: 3, fileContainingSymbol: 4, listServices: 7 };
    expect(await ask(text(fields.listServices, '*'))).toContain('dstc.v1.WorkerService');
    expect(await ask(text(fields.fileContainingSymbol, 'dstc.v1.TaskService'))).toContain('SubmitTaskRequest');
    expect(await ask(text(fields.fileByFilename, 'buf/validate/validate.proto'))).toContain('FieldRules');
    stream.end();
    client.close();
  });

  it('sends the headers of a stream before its first message', async () => {
    const headers = await new Promise<Headers>((resolve, reject) => {
      void (async () => {
        const worker = createClient(
          (await import('@dstc/contract/dstc/v1/worker_service_pb')).WorkerService,
          rig.transports.grpc,
        );
        const idle = new AbortController();
        async function* silence() {
          await new Promise((done) => idle.signal.addEventListener('abort', done));
        }
        const call = worker.work(silence(), {
          headers: await rig.bearer('worker'),
          signal: idle.signal,
          onHeader: (found) => {
            resolve(found);
            idle.abort();
          },
        });
        for await (const _ of call);
      })().catch(reject);
    });
    expect(headers.get('content-type')).toContain('application/grpc');
  });

  it('cuts off a client that does not read its stream', async () => {
    const ended = rig.seen.streamsEnded;
    const { authorization } = await rig.bearer();
    const raw = await connectRaw(rig.grpc.address.port);
    const { input } = TaskService.method.watchTasks;
    const request = toBinary(input, create(input, { ids: [id, other] }));
    const path = '/dstc.v1.TaskService/WatchTasks';
    raw.headers(1, requestFields(rig.grpc.address.port, [['authorization', authorization]], path));
    raw.message(1, request);
    // The client grants no window beyond the first 64 KiB.
    await expect.poll(() => rig.seen.streamsEnded, { timeout: 5_000 }).toBe(ended + 1);
    await expect.poll(() => raw.resetWith(1)).toBe(11);
    expect(rig.seen.aborts.at(-1)).toMatchObject({ reason: 'SLOW_CONSUMER' });
    raw.close();
  });

  describe('a stream that ends with an error', () => {
    /** The last message of the stream is to be this large. */
    const end = (bytes: number) => ({
      case: 'released' as const,
      value: { leases: [{ taskId: id, attempt: 1, leaseId: other }], reason: String(bytes) },
    });

    it('tells it, also while a message is on its way', async () => {
      const token = await rig.identity.token('worker');
      const worker = openRawWorker({ address: `127.0.0.1:${rig.grpc.address.port}`, token });
      worker.send(end(10));
      expect(await worker.ended).toEqual({ code: 'UNAUTHENTICATED', reason: 'TOKEN_INVALID' });
    });

    it('is reset when its reader leaves no room for the status', async () => {
      const { authorization } = await rig.bearer('worker');
      const raw = await connectRaw(rig.grpc.address.port);
      const { input } = WorkerService.method.work;
      const path = '/dstc.v1.WorkerService/Work';
      raw.headers(1, requestFields(rig.grpc.address.port, [['authorization', authorization]], path));
      // More than the client's first window, and less than what makes the handler wait.
      raw.message(1, toBinary(input, create(input, { message: end(100_000) })));
      await expect.poll(() => raw.resetWith(1), { timeout: 5_000 }).toBe(11);
      raw.close();
    });
  });
});

describe('a port that is taken', () => {
  it('is named for gRPC', async () => {
    const address = `127.0.0.1:${rig.grpc.address.port}`;
    const start = startGrpcDoor(rig.deps, { address, services: rig.services, limits: rig.limits });
    await expect(start).rejects.toThrow(
      `port ${rig.grpc.address.port} is in use by another process; stop it, or set DSTC_GRPC_ADDRESS`,
    );
  });

  it('is named for HTTP', async () => {
    const address = `127.0.0.1:${rig.http.address.port}`;
    const start = startHttpDoor(rig.deps, { address, services: rig.services, limits: rig.limits });
    await expect(start).rejects.toThrow(
      `port ${rig.http.address.port} is in use by another process; stop it, or set DSTC_HTTP_ADDRESS`,
    );
  });
});

describe('a door that drains', () => {
  it('lets calls finish, takes no new ones and then is closed', async () => {
    const door = await startGrpcDoor(rig.deps, { address: '127.0.0.1:0', services: rig.services, limits: rig.limits });
    const { createGrpcTransport } = await import('@connectrpc/connect-node');
    const tasks = createClient(TaskService, createGrpcTransport({ baseUrl: `http://127.0.0.1:${door.address.port}` }));
    const calls = rig.seen.calls;
    const running = refusalOf(tasks.submitTask({ type: 'stuck' }, { headers: await rig.bearer(), timeoutMs: 400 }));
    await expect.poll(() => rig.seen.calls).toBe(calls + 1);
    const drained = door.drain();
    expect(await running).toMatchObject({ code: 'DeadlineExceeded' });
    await drained;
    await expect(tasks.submitTask({ type: 'x' }, { headers: await rig.bearer() })).rejects.toThrow(/ECONNREFUSED/);
    await door.stop();
  });
});
