import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, createClient, type Task } from '@dstc/sdk';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { type RunningExample, startExample } from './run-example.ts';

let coordinator: TestCoordinator;
let client: Client;
let folder: string;
const workers: RunningExample[] = [];

beforeAll(async () => {
  coordinator = await startTestCoordinator();
  const { grpcAddress, httpUrl, identity } = coordinator;
  client = createClient({ address: grpcAddress, credentials: coordinator.credentials('operator') });
  folder = await temporaryDirectory();
  await mkdir(join(folder, '.dstc'));
  const profile = { grpcAddress, httpAddress: httpUrl, issuer: identity.issuer, clients: identity.clients };
  await writeFile(join(folder, '.dstc', 'dev.json'), JSON.stringify(profile));
});
afterEach(async () => {
  for (const { child, ended } of workers.splice(0)) {
    child.kill('SIGTERM');
    expect(await ended).toMatchObject({ code: 0 });
  }
});
afterAll(async () => {
  client.close();
  await coordinator.stop();
  await rm(folder, { recursive: true, force: true });
});

function startWorker(file: string, ...args: string[]): RunningExample {
  const worker = startExample(file, args, folder);
  workers.push(worker);
  return worker;
}

test('phone-check is retried where one provider fails, and ends as expected with the other', async () => {
  const first = startWorker('phone-check/worker.ts', '--provider', 'libphonenumber-js');
  await first.printed(/libphonenumber-js is ready/);
  const producer = startExample('phone-check/produce.ts', [], folder);
  await first.printed(/libphonenumber-js could not read 3 numbers/);
  const second = startWorker('phone-check/worker.ts', '--provider', 'google-libphonenumber');
  await second.printed(/google-libphonenumber is ready/);
  expect(await producer.ended).toMatchObject({
    code: 0,
    output: expect.stringContaining('0 of them with an unexpected end'),
  });

  const tasks: Task[] = [];
  for await (const task of client.list({ types: ['checknumber'] })) tasks.push(task);
  const retried = tasks.filter(({ attempt, state }) => attempt > 1 && state === 'SUCCEEDED');
  expect(retried.length).toBeGreaterThanOrEqual(3);
  for (const { id } of retried) {
    const failures = (await client.history(id)).flatMap(({ kind, error }) =>
      kind === 'RETRY_SCHEDULED' ? [error?.code] : [],
    );
    expect(new Set(failures)).toEqual(new Set(['PROVIDER_INCAPABLE']));
  }
});

test('photo-metadata reads the photos and refuses what is none', async () => {
  await startWorker('photo-metadata/worker.ts').printed(/ready to read photos/);
  const { code, output } = await startExample('photo-metadata/produce.ts', [], folder).ended;
  expect({ code, output }).toEqual({ code: 0, output: expect.stringMatching(/^download-failed.jpg: NOT_A_JPEG: /m) });
  expect(output).toMatch(/^iphone-4s-stockholm.jpg: Apple iPhone 4S, 2014-09-01T15:03:47, 59.3325, 18.0649$/m);
});
