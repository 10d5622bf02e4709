import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DevProfile } from '@dstc/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const children: ChildProcess[] = [];
let coordinator: TestCoordinator;
let folder: string;

beforeAll(async () => {
  [coordinator, folder] = await Promise.all([startTestCoordinator(), temporaryDirectory()]);
  const { grpcAddress, httpUrl: httpAddress, identity } = coordinator;
  const profile: DevProfile = { grpcAddress, httpAddress, issuer: identity.issuer, clients: identity.clients };
  await mkdir(join(folder, '.dstc'));
  await writeFile(join(folder, '.dstc', 'dev.json'), JSON.stringify(profile));
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
});

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await Promise.all([coordinator.stop(), rm(folder, { recursive: true, force: true })]);
});

/** The snippets of the README, by the heading they stand under. */
async function snippets(): Promise<Map<string, string>> {
  const readme = await readFile(join(root, 'sdk/typescript/README.md'), 'utf8');
  const sections = readme.split(/^#+ /m).slice(1);
  return new Map(
    sections.flatMap((section) => {
      const code = /```ts\n(.*?)```/s.exec(section)?.[1];
      return code === undefined ? [] : [[section.slice(0, section.indexOf('\n')), code] as const];
    }),
  );
}

async function start(name: string, code = ''): Promise<{ child: ChildProcess; ended: Promise<string> }> {
  const file = join(folder, `${name}.ts`);
  await writeFile(file, code);
  const child = spawn(process.execPath, ['--conditions=dstc-source', '--disable-warning=ExperimentalWarning', file], {
    cwd: folder,
  });
  children.push(child);
  const output: string[] = [];
  child.stdout.on('data', (text) => output.push(String(text)));
  child.stderr.on('data', (text) => output.push(String(text)));
  const ended = once(child, 'close').then(([status]) => `${output.join('')}exit ${status}`);
  return { child, ended };
}

const run = async (name: string, code?: string): Promise<string> => (await start(name, code)).ended;

test('works as the README shows', async () => {
  const code = await snippets();
  expect([...code.keys()]).toEqual([
    '@dstc/sdk',
    'Describe a task type',
    'Work',
    'Produce',
    'Depend',
    'Follow',
    'Operate',
  ]);
  expect(await run('connect', code.get('@dstc/sdk'))).toBe('exit 0');
  expect(await run('describe', code.get('Describe a task type'))).toBe('exit 0');
  const worker = await start('work', code.get('Work'));
  const lines = (await run('produce', code.get('Produce'))).split('\n');
  expect(lines[0]).toBe("{ text: 'Hello, Ada!' }");
  expect(lines[2]).toContain('INPUT_INVALID: ');
  expect(lines[3]).toContain('NAME_EMPTY');
  expect(lines.at(-1)).toBe('exit 0');
  expect(await run('depend', code.get('Depend'))).toBe("{ text: 'Hello, Grace!' }\nSUCCEEDED\nFAILED\nexit 0");
  const followed = (await run('follow', code.get('Follow'))).split('\n');
  expect(followed.slice(0, 2)).toEqual([expect.stringMatching(/ NAME_EMPTY$/), expect.stringMatching(/ NAME_EMPTY$/)]);
  const lived = ['submitted', 'leased', 'started', 'succeeded'].map((what) => `dstc.task.${what}.v1`);
  expect(followed.slice(2)).toEqual([...lived, 'exit 0']);
  const operated = await run('operate', code.get('Operate'));
  expect(operated).toMatch(/^2 greeting\.write NAME_EMPTY .*\n0 would go back to the queue\nexit 0$/);
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toBe('exit 0');
}, 60_000);
