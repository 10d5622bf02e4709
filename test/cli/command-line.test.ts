import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { type DstcOptions, dstc } from './dstc.ts';

let home: string;
let options: DstcOptions;
beforeAll(async () => {
  home = await temporaryDirectory();
  options = { env: { XDG_CONFIG_HOME: home }, cwd: home };
});
afterAll(() => rm(home, { recursive: true, force: true }));

test.each([
  [['tsk'], 'dstc: there is no command "tsk"; did you mean `task`?\n'],
  [['task', 'get'], 'dstc: Expected argument for id; see --help\n'],
  [
    ['task', 'list', '--limit', '0'],
    'dstc: Failed to parse "0" for limit: "0" is no whole number from 1 to 1000000; see --help\n',
  ],
  [['task', 'submit', 't', '--input', '{'], /^dstc: --input is not JSON: .*\n$/],
  [['task', 'submit', 't', '--input', '1', '-'], 'dstc: give the input once: --input, --input-file, or - for stdin\n'],
  [['task', 'submit', 't', 'x'], 'dstc: "x" is too much: give the input with --input, --input-file, or - for stdin\n'],
  [['task', 'await', 'x', '--timeout', '5'], /"5" is no duration: write a number and a unit/],
  [
    ['worker', 'exec', '--type', 't', '--', 'no-such-program'],
    'dstc: there is no program no-such-program in the PATH\n',
  ],
  [['type', 'circuit', 't', 'ajar'], /"ajar" is no state of a circuit: write auto, open, closed/],
  [['completion', 'tcsh'], /"tcsh" is no shell that dstc knows; there are bash, zsh, fish/],
])('exits with 2 for %j and says what to write', async (args, message) => {
  const { code, stdout, stderr } = await dstc(args, options);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  if (typeof message === 'string') expect(stderr).toBe(message);
  else expect(stderr).toMatch(message);
});

test('says how to connect when it knows no coordinator', async () => {
  const { code, stderr } = await dstc(['task', 'list'], options);
  expect(code).toBe(2);
  expect(stderr).toMatch(/^dstc: there is no coordinator to connect to: .*dstc login.*\n$/);
});

test('says that nobody answers, without a stack trace', async () => {
  const env = { ...options.env, DSTC_TOKEN: 'x', DSTC_ADDRESS: 'localhost' };
  const { code, stderr } = await dstc(['task', 'list'], { ...options, env });
  expect(code).toBe(1);
  expect(stderr).toMatch(/^dstc: "localhost" is not an address.*\n$/);
});

test('completes commands, flags and values', async () => {
  const complete = async (...words: string[]) => {
    const { stdout } = await dstc(['__complete', '--', ...words], options);
    return stdout.split('\n').flatMap((line) => (line === '' ? [] : [line.split('\t')[0]]));
  };
  expect(await complete('ta')).toEqual(['task']);
  expect(await complete('task', 'h')).toEqual(['history']);
  expect(await complete('task', 'list', '--sta')).toEqual(['--state']);
  expect(await complete('task', 'list', '-o', 'json')).toEqual(['json', 'jsonl']);
});

test('completes in bash', async () => {
  const script = `source <(printf '%s' "$SCRIPT"); dstc() { "$NODE" "$BIN" "$@"; }
    COMP_WORDS=(dstc task his); COMP_CWORD=2; _dstc; echo "\${COMPREPLY[@]}"`;
  const { stdout } = await dstc(['completion', 'bash'], options);
  const bin = new URL('../../sdk/cli/bin/dstc.mjs', import.meta.url).pathname;
  const child = spawn('bash', ['-c', script], {
    env: { ...process.env, SCRIPT: stdout, NODE: process.execPath, BIN: bin },
  });
  const printed: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (piece: string) => printed.push(piece));
  await once(child, 'close');
  expect(printed.join('')).toBe('history\n');
});

test.runIf(existsSync('/dev/full'))('says that its output cannot be written, without a stack trace', async () => {
  const bin = new URL('../../sdk/cli/bin/dstc.mjs', import.meta.url).pathname;
  const run = async (redirection: string) => {
    const child = spawn('bash', ['-c', `"${process.execPath}" "${bin}" completion bash ${redirection}`]);
    const errors: string[] = [];
    child.stderr.setEncoding('utf8').on('data', (piece: string) => errors.push(piece));
    const [code] = await once(child, 'close');
    return { code, errors: errors.join('') };
  };
  const errors = expect.stringMatching(/^dstc: the output cannot be written: ENOSPC.*\n$/);
  expect(await run('> /dev/full')).toEqual({ code: 1, errors });
  expect(await run('> /dev/full 2> /dev/full')).toEqual({ code: 1, errors: '' });
});

test('ends quietly when its reader has seen enough', async () => {
  const bin = new URL('../../sdk/cli/bin/dstc.mjs', import.meta.url).pathname;
  const child = spawn('bash', ['-c', `set -o pipefail; "${process.execPath}" "${bin}" --help | true`]);
  const errors: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (piece: string) => errors.push(piece));
  const [code] = await once(child, 'close');
  expect({ code, errors }).toEqual({ code: 0, errors: [] });
});
