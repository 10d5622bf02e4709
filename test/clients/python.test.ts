import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';
import { createPythonClient, hasPython, type PythonClient } from './python-environment.ts';

// In CI it must be there: see .ci/run.
const canRun = process.env.CI !== undefined || (await hasPython());

describe.skipIf(!canRun)(
  'a Python client that is generated from proto/ alone (needs python3 3.9 with venv and pip)',
  () => {
    let coordinator: TestCoordinator;
    let client: PythonClient;
    beforeAll(async () => {
      [coordinator, client] = await Promise.all([startTestCoordinator(), createPythonClient()]);
    }, 180_000);
    afterAll(async () => {
      await client?.dispose();
      await coordinator?.stop();
    });

    it('submits, works on the stream, reads errors, health and reflection', { timeout: 60_000 }, async () => {
      const { identity, grpcAddress } = coordinator;
      const { producer, worker, operator } = identity.clients;
      const { code, text } = await client.run(
        ['-W', 'error::ResourceWarning', '-m', 'unittest', '-v', 'test_coordinator'],
        {
          DSTC_ADDRESS: grpcAddress,
          DSTC_ISSUER: identity.issuer,
          PRODUCER_SECRET: producer.clientSecret,
          WORKER_SECRET: worker.clientSecret,
          OPERATOR_SECRET: operator.clientSecret,
        },
      );
      expect({ code, text }).toEqual({ code: 0, text: expect.stringMatching(/\nRan 7 tests in [\s\S]*\nOK\n$/) });
    });
  },
);
