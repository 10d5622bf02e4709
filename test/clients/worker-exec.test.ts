import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, createClient } from '@dstc/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningDstc, startDstc } from '../cli/dstc.ts';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { hasPython } from './python-environment.ts';

const script = fileURLToPath(new URL('python/count_words.py', import.meta.url));
// In CI it must be there: see .ci/run.
const canRun = process.env.CI !== undefined || (await hasPython());

describe.skipIf(!canRun)('a Python script under `dstc worker exec` (needs python3)', () => {
  let coordinator: TestCoordinator;
  let home: string;
  let worker: RunningDstc;
  let client: Client;

  beforeAll(async () => {
    coordinator = await startTestCoordinator();
    const { grpcAddress, httpUrl, identity } = coordinator;
    home = await temporaryDirectory();
    await mkdir(join(home, '.dstc'));
    const profile = { grpcAddress, httpAddress: httpUrl, issuer: identity.issuer, clients: identity.clients };
    await writeFile(join(home, '.dstc', 'dev.json'), JSON.stringify(profile));
    const operator = createClient({ address: grpcAddress, credentials: coordinator.credentials('operator') });
    await operator.types.apply({ name: 'count-words', retry: { initialDelayMs: 10, delayMaxMs: 20 } });
    operator.close();
    client = createClient({ address: grpcAddress, credentials: coordinator.credentials('producer') });
    const args = ['worker', 'exec', '--type', 'count-words', '--concurrency', '2', '--', 'python3', script];
    worker = startDstc(args, { cwd: home, env: { XDG_CONFIG_HOME: join(home, 'config') } });
    await worker.seen(/connected to/);
  });
  afterAll(async () => {
    client?.close();
    worker?.child.kill('SIGTERM');
    await worker?.ended;
    await coordinator?.stop();
    await rm(home, { recursive: true, force: true });
  });

  it('does tasks in its own words', async () => {
    const texts = ['to be', 'or not to be', 'that is the question'];
    const handles = await Promise.all(texts.map((text) => client.submit('count-words', { text })));
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual([
      { words: 2, longest: 'to', attempt: 1 },
      { words: 4, longest: 'not', attempt: 1 },
      { words: 4, longest: 'question', attempt: 1 },
    ]);
  });

  it('is tried again when it says so', async () => {
    const handle = await client.submit('count-words', { text: 'again and again', flaky: 2 });
    expect(await handle.result()).toMatchObject({ words: 3, attempt: 3 });
    const history = await client.history(handle.id);
    const retries = history.filter(({ kind }) => kind === 'RETRY_SCHEDULED');
    expect(retries.map(({ error }) => error?.code)).toEqual(['EXIT_75', 'EXIT_75']);
    expect(retries[0]?.error?.message).toContain('the dictionary is locked');
  });

  it('fails for good when it breaks, with what it said last', async () => {
    const handle = await client.submit('count-words', {});
    await expect(handle.result()).rejects.toThrow('failed: EXIT_1');
    const { error, attempt } = await client.get(handle.id);
    expect({ kind: error?.kind, attempt }).toEqual({ kind: 'PERMANENT', attempt: 1 });
    expect(error?.message).toContain("KeyError: 'text'");
  });
});
