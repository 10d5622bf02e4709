import { once } from 'node:events';
import { copyFile } from 'node:fs/promises';
import { connect as connectPlain } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { TaskService } from '@dstc/contract/dstc/v1/task_service_pb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Door } from '../../server/doors/door.ts';
import { startGrpcDoor } from '../../server/doors/grpc.ts';
import { startHttpDoor } from '../../server/doors/http.ts';
import { openTls, type Tls, type TlsFiles } from '../../server/doors/tls.ts';
import { type TestCertificate, writeTestCertificate } from '../setup/certificate.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { type Rig, startRig } from './rig.ts';

let rig: Rig;
let directory: string;

beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig.stop());
beforeEach(async () => {
  directory = await temporaryDirectory();
});

interface TlsDoors {
  readonly tls: Tls;
  readonly doors: Readonly<Record<'gRPC' | 'HTTP', Door>>;
}

const open: TlsDoors[] = [];
afterEach(async () => {
  for (const { tls, doors } of open.splice(0)) {
    tls.close();
    await Promise.all(Object.values(doors).map((door) => door.stop()));
  }
});

async function startDoors(files: TlsFiles): Promise<TlsDoors['doors']> {
  const tls = await openTls({ log: rig.deps.log, pollMs: 20 }, files);
  const options = { address: '127.0.0.1:0', services: rig.services, limits: rig.limits, tls };
  const doors = { gRPC: await startGrpcDoor(rig.deps, options), HTTP: await startHttpDoor(rig.deps, options) };
  open.push({ tls, doors });
  return doors;
}

function transportsTo(doors: TlsDoors['doors'], nodeOptions: ConnectionOptions) {
  const url = (door: Door) => `https://127.0.0.1:${door.address.port}`;
  return {
    gRPC: createGrpcTransport({ baseUrl: url(doors.gRPC), nodeOptions }),
    HTTP: createConnectTransport({ baseUrl: url(doors.HTTP), httpVersion: '1.1', nodeOptions }),
  };
}

async function submit(transport: ReturnType<typeof transportsTo>[keyof TlsDoors['doors']]): Promise<void> {
  const headers = await rig.bearer();
  const { task } = await createClient(TaskService, transport).submitTask({ type: 'x' }, { headers });
  expect(task?.type).toBe('x');
}

/** Resolves when the connection is secure. */
async function secured(door: Door, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port: door.address.port, ALPNProtocols: ['h2', 'http/1.1'], ...options });
  socket.on('error', () => undefined);
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed')));
  });
  return socket;
}

const names = ['gRPC', 'HTTP'] as const;

describe.each(names)('the %s port with TLS', (name) => {
  let certificate: TestCertificate;
  let files: TlsFiles;

  beforeEach(async () => {
    certificate = await writeTestCertificate(directory);
    files = { certFile: certificate.certFile, keyFile: certificate.keyFile, clientCaFile: undefined };
  });

  it('serves who trusts its certificate, and nobody who does not', async () => {
    const doors = await startDoors(files);
    await submit(transportsTo(doors, { ca: certificate.certificate })[name]);
    const { certificate: other } = await writeTestCertificate(directory, 'other');
    await expect(submit(transportsTo(doors, { ca: other })[name])).rejects.toThrow();
  });

  it.each([
    ['HTTP/1.1', 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['nonsense', '\0\0\0\0\0\0\0\0\0\0\0\0'],
  ])('ends a connection that speaks %s in plaintext, and others do not notice', async (_, text) => {
    const doors = await startDoors(files);
    const transport = transportsTo(doors, { ca: certificate.certificate })[name];
    await submit(transport);
    const socket = connectPlain(doors[name].address.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(text);
    socket.resume();
    await once(socket, 'close');
    await submit(transport);
  });

  it('refuses TLS 1.1', async () => {
    const doors = await startDoors(files);
    const old: ConnectionOptions = {
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
      rejectUnauthorized: false,
    };
    await expect(secured(doors[name], old)).rejects.toThrow(/version/);
    const socket = await secured(doors[name], { maxVersion: 'TLSv1.2', rejectUnauthorized: false });
    expect(socket.getProtocol()).toBe('TLSv1.2');
    socket.destroy();
  });

  it('serves a renewed certificate to new connections and goes on with the open ones', async () => {
    const doors = await startDoors(files);
    const before = transportsTo(doors, { ca: certificate.certificate })[name];
    await submit(before);
    const early = await secured(doors[name], { rejectUnauthorized: false });
    const renewed = await writeTestCertificate(directory, 'renewed');
    // Between the two the key is not that of the certificate, and the last good pair holds.
    await copyFile(renewed.certFile, files.certFile);
    await copyFile(renewed.keyFile, files.keyFile);
    const after = transportsTo(doors, { ca: renewed.certificate })[name];
    await expect.poll(() => submit(after).then(() => 'served', String), { timeout: 5_000 }).toBe('served');
    expect(early.destroyed).toBe(false);
    early.destroy();
  });

  it('demands a certificate of its clients when it was given their authority', async () => {
    const client = await writeTestCertificate(directory, 'client');
    const doors = await startDoors({ ...files, clientCaFile: client.certFile });
    const ca = certificate.certificate;
    await submit(transportsTo(doors, { ca, cert: client.certificate, key: client.key })[name]);
    await expect(submit(transportsTo(doors, { ca })[name])).rejects.toThrow();
    const { certificate: cert, key } = await writeTestCertificate(directory, 'stranger');
    await expect(submit(transportsTo(doors, { ca, cert, key })[name])).rejects.toThrow();
  });
});

it('does not start with a key of another certificate', async () => {
  const [one, other] = [await writeTestCertificate(directory), await writeTestCertificate(directory, 'other')];
  const files = { certFile: one.certFile, keyFile: other.keyFile, clientCaFile: undefined };
  await expect(openTls({ log: rig.deps.log }, files)).rejects.toThrow(/cannot be used/);
});
