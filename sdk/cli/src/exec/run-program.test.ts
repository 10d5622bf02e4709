import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { type Program, runProgram as run } from './run-program.ts';

const never = new AbortController().signal;
const runProgram = (program: Program, signal: AbortSignal) => run(program, signal, new Set());

/** A program in JavaScript, run by the Node that runs the test. */
function program(code: string, changes: Partial<Program> = {}): Program {
  return {
    command: process.execPath,
    args: ['-e', code],
    env: {},
    stdin: new Uint8Array(),
    stdoutBytesMax: 1_000_000,
    timeoutMs: undefined,
    graceMs: 5_000,
    onLine: () => undefined,
    ...changes,
  };
}

test('passes input, environment and output through', async () => {
  const code = 'process.stdin.on("data", (d) => process.stdout.write(d + process.env.DSTC_ATTEMPT))';
  const result = await runProgram(program(code, { stdin: Buffer.from('{"a":1}'), env: { DSTC_ATTEMPT: '3' } }), never);
  expect(result).toMatchObject({ end: { kind: 'exited', status: 0 }, stdoutOverflowed: false, stderrTail: '' });
  expect(result.stdout.toString()).toBe('{"a":1}3');
});

test('reports the exit status, each line of stderr, and the last lines', async () => {
  const lines: string[] = [];
  const code = 'console.error("half\\nway"); process.exitCode = 65';
  const result = await runProgram(program(code, { onLine: (line) => lines.push(line) }), never);
  expect(result.end).toEqual({ kind: 'exited', status: 65 });
  expect(lines).toEqual(['half', 'way']);
  expect(result.stderrTail).toBe('half\nway');
});

test('survives a program that does not read its input', async () => {
  const result = await runProgram(program('process.exit(0)', { stdin: Buffer.alloc(1_000_000) }), never);
  expect(result.end).toEqual({ kind: 'exited', status: 0 });
});

test('reports death by a signal', async () => {
  const result = await runProgram(program('process.kill(process.pid, "SIGKILL")'), never);
  expect(result.end).toEqual({ kind: 'killed', signal: 'SIGKILL' });
});

test('stops a program that takes too long', async () => {
  const result = await runProgram(program('setInterval(() => {}, 1000)', { timeoutMs: 50 }), never);
  expect(result.end).toEqual({ kind: 'timed-out', afterMs: 50 });
});

test('stops a program that writes too much', async () => {
  const code = 'for (;;) require("fs").writeSync(1, Buffer.alloc(65536))';
  const result = await runProgram(program(code, { stdoutBytesMax: 100_000 }), never);
  expect(result.stdoutOverflowed).toBe(true);
  expect(result.stdout.length).toBeLessThanOrEqual(100_000);
});

test('kills a program that ignores the polite request, and rejects with the reason', async () => {
  const abort = new AbortController();
  const code = 'process.on("SIGTERM", () => {}); console.error("ready"); setInterval(() => {}, 1000)';
  const running = runProgram(
    program(code, { graceMs: 50, onLine: () => abort.abort(new Error('cancelled')) }),
    abort.signal,
  );
  await expect(running).rejects.toThrow('cancelled');
});

test.skipIf(process.platform === 'win32')('takes what the program left behind with it', async () => {
  const left = `require('net').createServer().listen(0, '127.0.0.1', function () { console.log(this.address().port) })`;
  const code = `
    const { spawn } = require('child_process');
    const left = spawn(process.execPath, ['-e', ${JSON.stringify(left)}], { stdio: ['ignore', 'pipe', 'inherit'] });
    left.stdout.on('data', (port) => process.stdout.write(port, () => process.exit(0)));`;
  const { stdout } = await runProgram(program(code), never);
  const socket = connect(Number(stdout.toString()), '127.0.0.1');
  await expect(once(socket, 'connect')).rejects.toThrow('ECONNREFUSED');
});

test('rejects when the program cannot be started', async () => {
  await expect(runProgram(program('', { command: './no-such-program' }), never)).rejects.toThrow('ENOENT');
});
