import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it, test } from 'vitest';
import { createAddressCheck, parseNetwork } from '../../server/events/webhooks/addresses.ts';
import {
  createHttpClient,
  type HttpClient,
  type HttpClientOptions,
  RequestFailed,
} from '../../server/events/webhooks/http-client.ts';
import { writeTestCertificate } from '../setup/certificate.ts';
import { type HttpReceiver, startHttpReceiver } from '../setup/http-receiver.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

const local = createAddressCheck([parseNetwork('127.0.0.1')]);

function client(options: Partial<HttpClientOptions> = {}): HttpClient {
  const made = createHttpClient({
    allowsHttp: true,
    isAllowed: local,
    resolve: () => Promise.reject(new Error('no name is looked up')),
    connectMsMax: 2_000,
    responseBytesMax: 1_000,
    ...options,
  });
  stops.push(made.close);
  return made;
}

async function receiver(): Promise<HttpReceiver> {
  const started = await startHttpReceiver();
  stops.push(started.stop);
  return started;
}

/** Answers each connection with bytes of its own. */
async function rawServer(answer: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    answer(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  stops.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const never = new AbortController().signal;
const post = (url: string, headers: Record<string, string> = {}) => ({
  method: 'POST' as const,
  url: new URL(url),
  headers,
  body: 'Grüße',
});

test('sends what it is given, over one connection for requests that follow each other', async () => {
  const { send } = client();
  const to = await receiver();
  for (const path of ['/a?b=c', '/d']) await send(post(`${to.url}${path}`, { 'x-one': 'two' }), never);
  expect(to.requests).toMatchObject([
    { method: 'POST', path: '/a?b=c', body: 'Grüße', headers: { 'x-one': 'two', 'content-length': '7' } },
    { path: '/d' },
  ]);
  expect(to.connections()).toBe(1);
});

test('tries anew when the server has closed the connection that it kept', async () => {
  const { send } = client();
  let count = 0;
  const url = await rawServer((socket) => {
    count += 1;
    let isFirst = true;
    socket.on('data', () => {
      // Two requests in one life: the second one finds nobody.
      if (isFirst) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
      else socket.resetAndDestroy();
      isFirst = false;
    });
  });
  await send(post(url), never);
  expect(await send(post(url), never)).toMatchObject({ status: 200, body: 'ok' });
  expect(count).toBe(2);
});

test('tries anew when the server has closed all the connections that it kept', async () => {
  const { send } = client();
  const count = 3;
  let connections = 0;
  let isRestarted = false;
  const allThere = Promise.withResolvers<void>();
  const url = await rawServer((socket) => {
    connections += 1;
    const isOld = connections <= count;
    // Nobody is answered before all are there, so that each has a connection of its own.
    if (connections === count) allThere.resolve();
    socket.on('data', async () => {
      await allThere.promise;
      if (isOld && isRestarted) socket.resetAndDestroy();
      else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
    });
  });
  await Promise.all(Array.from({ length: count }, () => send(post(url), never)));
  isRestarted = true;
  expect(await send(post(url), never)).toMatchObject({ status: 200, body: 'ok' });
});

describe('an address that is not allowed', () => {
  it.each([
    'http://127.0.0.2:1/',
    'http://[::1]:1/',
    'http://[::ffff:7f00:2]:1/',
    'http://0x7f.2:1/',
    'http://10.0.0.1/',
  ])('is not connected to as %s', async (url) => {
    await expect(client().send(post(url), never)).rejects.toThrow('DSTC_WEBHOOK_ALLOW_NETWORKS');
  });

  it('is not connected to when a name stands for it, among others or alone', async () => {
    const to = await receiver();
    for (const addresses of [['127.0.0.2'], ['127.0.0.1', '10.0.0.1'], ['::1', '127.0.0.1']]) {
      const { send } = client({ resolve: () => Promise.resolve(addresses) });
      await expect(send(post(`http://hooks.example.com:${to.port}`), never)).rejects.toThrow(
        'hooks.example.com is no address of the Internet',
      );
    }
    expect(to.connections()).toBe(0);
  });

  it('is not connected to when a name stands for another address at the second look', async () => {
    const to = await receiver();
    const answers = [['127.0.0.1'], ['127.0.0.2'], ['127.0.0.2']];
    let looks = 0;
    const { send } = client({
      resolve: () => {
        looks += 1;
        return Promise.resolve(answers.shift() ?? []);
      },
    });
    const url = `http://rebound.example.com:${to.port}/`;
    // The system would not find the name at all: the connection goes to what was checked.
    expect(await send(post(url), never)).toMatchObject({ status: 204 });
    expect(to.requests[0]?.headers.host).toBe(`rebound.example.com:${to.port}`);
    expect(looks).toBe(1);
    // Not even over the connection that is still open.
    await expect(send(post(url), never)).rejects.toThrow('no address of the Internet');
    expect(to.requests).toHaveLength(1);
  });

  it('is not connected to by a redirect', async () => {
    const [from, to] = [await receiver(), await receiver()];
    from.answer = (_, response) => response.writeHead(302, { location: `${to.url}/secret` }).end();
    expect(await client().send(post(from.url), never)).toMatchObject({ status: 302 });
    expect(to.connections()).toBe(0);
  });
});

test('a proxy in the environment is not used', async () => {
  const [proxy, to] = [await receiver(), await receiver()];
  const module = (name: string) =>
    JSON.stringify(new URL(`../../server/events/webhooks/${name}.ts`, import.meta.url).href);
  const script = `
    import { get } from 'node:http';
    import { createHttpClient } from ${module('http-client')};
    const { send, close } = createHttpClient({
      allowsHttp: true, isAllowed: () => true, resolve: () => [], connectMsMax: 5000, responseBytesMax: 1000,
    });
    const request = { method: 'POST', url: new URL(process.argv[1]), headers: {}, body: '' };
    await send(request, new AbortController().signal);
    close();
    get(process.argv[1], (response) => response.resume());`;
  const env = { ...process.env, HTTP_PROXY: proxy.url, http_proxy: proxy.url, NODE_USE_ENV_PROXY: '1' };
  await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, to.url], { env });
  expect(to.requests).toMatchObject([{ method: 'POST' }]);
  // What is sent without the client uses it, so that there was something to be ignored.
  expect(proxy.requests).toMatchObject([{ method: 'GET' }]);
});

describe('a bad endpoint', () => {
  it('that sends an endless body is cut off, and its status counts', async () => {
    const url = await rawServer((socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        const more = () => {
          while (!socket.destroyed && socket.write('x'.repeat(10_000)));
        };
        socket.on('drain', more);
        more();
      });
    });
    const answer = await client().send(post(url), never);
    expect(answer.status).toBe(200);
    expect(answer.body).toBe('x'.repeat(1_000));
  });

  it.each([
    ['garbage', 'SSH-2.0-OpenSSH_9.6\r\n', 'HPE_INVALID_CONSTANT'],
    ['headers without end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(64 * 1024)}`, 'HPE_HEADER_OVERFLOW'],
    ['half a body', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf', 'ECONNRESET'],
    ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n', ''],
    ['nothing', '', ''],
  ])('that answers with %s has failed', async (_, bytes, code) => {
    const url = await rawServer((socket) => socket.once('data', () => socket.end(bytes)));
    const sent = client().send(post(url), never);
    await expect(sent).rejects.toBeInstanceOf(RequestFailed);
    await expect(sent).rejects.toThrow(code);
  });

  it('that never answers is left when the time is over', async () => {
    const seen = Promise.withResolvers<void>();
    const url = await rawServer((socket) => socket.once('data', () => seen.resolve()));
    const time = new AbortController();
    const sent = client().send(post(url), time.signal);
    await seen.promise;
    time.abort(new Error('the time is over'));
    await expect(sent).rejects.toThrow('the time is over');
  });

  it('whose name nobody knows has failed', async () => {
    const resolve = () => Promise.reject(Object.assign(new Error('no'), { code: 'ENOTFOUND' }));
    await expect(client({ resolve }).send(post('http://nowhere.example.com/'), never)).rejects.toThrow(
      'the name nowhere.example.com cannot be resolved (ENOTFOUND)',
    );
  });

  it('whose name servers never answer is left when the time is over', async () => {
    const time = new AbortController();
    const sent = client({ resolve: () => new Promise(() => undefined) }).send(
      post('http://slow.example.com/'),
      time.signal,
    );
    time.abort(new Error('the time is over'));
    await expect(sent).rejects.toThrow('the time is over');
  });

  it('whose TLS handshake hangs is left when the time to connect is over', async () => {
    const url = await rawServer(() => undefined);
    const sent = client({ connectMsMax: 50 }).send(post(url.replace('http:', 'https:')), never);
    await expect(sent).rejects.toThrow('no connection within 0.05 s');
  });

  it('with a certificate that nobody vouches for has failed', async () => {
    const directory = await temporaryDirectory();
    stops.push(() => rm(directory, { recursive: true }));
    const { certificate: cert, key } = await writeTestCertificate(directory);
    const server = createTlsServer({ cert, key }, (_, response) => response.end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    stops.push(() => new Promise((resolve) => server.close(resolve)));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await expect(client().send(post(url), never)).rejects.toThrow(/SELF_SIGNED_CERT|UNABLE_TO_VERIFY/);
  });
});
