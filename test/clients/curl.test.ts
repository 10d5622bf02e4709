import { fileURLToPath } from 'node:url';
import { type Client, createClient } from '@dstc/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';
import { type ProgramResult, runProgram } from './run-program.ts';

const script = fileURLToPath(new URL('curl-worker.sh', import.meta.url));
// In CI it must be there: see .ci/run.
const probe = await runProgram('bash', ['-c', 'curl --version']).catch(() => undefined);
const canRun = process.env.CI !== undefined || probe?.code === 0;

describe.skipIf(!canRun)('a shell script with curl (needs bash and curl)', () => {
  let coordinator: TestCoordinator;
  let client: Client;

  beforeAll(async () => {
    coordinator = await startTestCoordinator();
    const address = coordinator.grpcAddress;
    const operator = createClient({ address, credentials: coordinator.credentials('operator') });
    for (const name of ['shout', 'idle']) await operator.types.apply({ name, inputSchema: { type: 'string' } });
    operator.close();
    client = createClient({ address, credentials: coordinator.credentials('producer') });
  });
  afterAll(async () => {
    client?.close();
    await coordinator?.stop();
  });

  async function curlWorker(type: string, token?: string): Promise<ProgramResult> {
    const own = { DSTC_HTTP_URL: coordinator.httpUrl, DSTC_TOKEN: token ?? (await coordinator.token('worker')) };
    return runProgram(script, [type], { ...process.env, ...own });
  }

  it('leases, extends and reports until nothing is due', async () => {
    const words = ['first', 'second', 'bad', 'last'];
    const handles = await Promise.all(words.map((word) => client.submit('shout', word)));
    const { code, text } = await curlWorker('shout');
    expect({ code, text }).toMatchObject({ code: 0 });
    expect(text.match(/SETTLEMENT_OUTCOME_RECORDED/g)).toHaveLength(words.length);
    const results = await Promise.allSettled(handles.map((handle) => handle.result()));
    expect(results).toMatchObject([
      { value: 'FIRST' },
      { value: 'SECOND' },
      { reason: { message: expect.stringContaining('BAD_WORD: not that one') } },
      { value: 'LAST' },
    ]);
  });

  it('ends at once when nothing is due', async () => {
    expect(await curlWorker('idle')).toEqual({ code: 0, text: '' });
  });

  it('fails with the error of the coordinator', async () => {
    const { code, text } = await curlWorker('idle', await coordinator.token('producer'));
    expect(code).toBe(22);
    expect(text).toContain('returned error: 403');
  });
});
