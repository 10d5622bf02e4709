import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runProgram } from './clients/run-program.ts';
import { startTestCoordinator, type TestCoordinator } from './setup/coordinator.ts';

const readme = readFileSync(fileURLToPath(new URL('../README.md', import.meta.url)), 'utf8');
let coordinator: TestCoordinator;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  coordinator = await startTestCoordinator();
  const { clientId, clientSecret } = coordinator.identity.clients.operator;
  environment = {
    ...process.env,
    DSTC_ADDRESS: coordinator.grpcAddress,
    DSTC_ISSUER: coordinator.identity.issuer,
    DSTC_CLIENT_ID: clientId,
    DSTC_CLIENT_SECRET: clientSecret,
  };
});
afterAll(() => coordinator.stop());

test('the five minutes of the README work as they stand', { timeout: 60_000 }, async () => {
  const tour = blockAfter('in a second terminal in the clone', 'sh');
  const { text } = await runProgram('bash', ['-c', `set -m\n${tour}\nkill %1; wait`], environment);
  expect(text).toContain('"HELLO"');
  expect(text).toContain('INPUT_INVALID');
  expect(text).toMatch(/shout +SUCCEEDED/);
  expect(text).toMatch(/shout +\d of 1/);
  expect(text).toMatch(/succeeded +.*shout|shout.*succeeded/);

  const program = blockAfter('The same in TypeScript', 'js');
  const node = ['--conditions=dstc-source', '--input-type=module', '--eval', program];
  expect(await runProgram(process.execPath, node, environment)).toMatchObject({ code: 0, text: 'HELLO\n' });
});

function blockAfter(words: string, language: string): string {
  const rest = readme.slice(readme.toLowerCase().indexOf(words.toLowerCase()));
  const block = new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 's').exec(rest)?.[1];
  if (block === undefined) throw new Error(`the README has no ${language} block after "${words}"`);
  return block;
}
