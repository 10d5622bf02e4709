import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FailureKind } from '@dstc/contract/dstc/v1/task_pb';
import { SettlementOutcome } from '@dstc/contract/dstc/v1/worker_pb';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  type ScriptedCoordinator,
  type ScriptedStream,
  startScriptedCoordinator,
} from '../sdk/scripted-coordinator.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { type RunningDstc, startDstc } from './dstc.ts';

let coordinator: ScriptedCoordinator;
let home: string;
const workers: RunningDstc[] = [];
beforeEach(async () => {
  coordinator = await startScriptedCoordinator();
  home = await temporaryDirectory();
});
afterEach(async () => {
  for (const { child, ended } of workers.splice(0)) {
    // Two of a kind might arrive as one.
    child.kill('SIGTERM');
    child.kill('SIGINT');
    await ended;
  }
  coordinator.stop();
  await rm(home, { recursive: true, force: true });
});

const lease = { taskId: '01890000-0000-7000-8000-00000000000a', attempt: 2, leaseId: 'lease' };

/** Starts a worker that runs a shell script for each task. */
async function startExec(script: string, flags: readonly string[] = []) {
  const program = join(home, 'program');
  await writeFile(program, `#!/bin/sh\n${script}\n`);
  await chmod(program, 0o755);
  const env = { XDG_CONFIG_HOME: home, DSTC_ADDRESS: coordinator.address, DSTC_TOKEN: 'token' };
  const running = startDstc(['worker', 'exec', '--type', 'count', ...flags, '--', './program', 'an argument'], {
    env,
    cwd: home,
  });
  workers.push(running);
  const stream = await coordinator.nextStream();
  const { value: hello } = await stream.next('hello');
  stream.welcome();
  return { running, stream, hello };
}

function assign(stream: ScriptedStream, input: unknown): void {
  const data = Buffer.from(JSON.stringify(input));
  const payload = { value: { case: 'data', value: data }, contentType: 'application/json' } as const;
  const item = { lease, taskType: 'count', input: payload, attemptsMax: 5 };
  stream.send({ case: 'assignments', value: { items: [item] } });
}

/** The failure that the worker reports for a script, and the kind that it is of. */
async function failureOf(script: string, flags: readonly string[] = []) {
  const { stream } = await startExec(script, flags);
  assign(stream, {});
  const { items } = (await stream.next('failed')).value;
  const { code, kind, message } = items[0]?.error ?? { code: '', kind: FailureKind.UNSPECIFIED, message: '' };
  return { code, kind: FailureKind[kind], message };
}

test('gives a program the input, the environment and its arguments, and takes its output', async () => {
  const script = `printf '{"input":%s,"argument":"%s","attempt":%s,"type":"%s"}' "$(cat)" "$1" "$DSTC_ATTEMPT" "$DSTC_TASK_TYPE"`;
  const { stream, hello } = await startExec(script, ['--concurrency', '3']);
  expect(stream.token).toBe('token');
  expect(hello).toMatchObject({ slots: 3, taskTypes: [{ taskType: 'count' }] });
  assign(stream, { words: 2 });
  await stream.next('accepted');
  const { items } = (await stream.next('succeeded')).value;
  const output = items[0]?.output;
  expect(output?.contentType).toBe('application/json');
  expect(JSON.parse(Buffer.from(output?.value.value as Uint8Array).toString())).toEqual({
    input: { words: 2 },
    argument: 'an argument',
    attempt: 2,
    type: 'count',
  });
});

test.each([
  [
    'echo "no route to host" >&2; exit 75',
    [],
    { code: 'EXIT_75', kind: 'TRANSIENT', message: 'exit status 75: no route to host' },
  ],
  ['exit 1', [], { code: 'EXIT_1', kind: 'PERMANENT', message: 'exit status 1' }],
  ['exit 1', ['--transient-exit-codes', '1-3'], { code: 'EXIT_1', kind: 'TRANSIENT', message: 'exit status 1' }],
  ['kill -KILL $$', [], { code: 'SIGKILL', kind: 'TRANSIENT', message: 'killed by SIGKILL' }],
  ['sleep 60', ['--timeout', '50ms'], { code: 'TIMED_OUT', kind: 'TRANSIENT', message: 'stopped after 0.05 s' }],
  ['echo done', [], { code: 'OUTPUT_NOT_JSON', kind: 'PERMANENT', message: expect.stringContaining('not JSON') }],
])('reports `%s` with %j as it is', async (script, flags, failure) => {
  expect(await failureOf(script, flags)).toEqual(failure);
});

test('shows what the program writes to stderr as progress', async () => {
  const { stream } = await startExec('echo "40% counting" >&2; read -r line; cat > /dev/null; sleep 60');
  assign(stream, {});
  const { items } = (await stream.next('progress')).value;
  expect(items[0]?.progress).toMatchObject({ percent: 40, message: 'counting' });
});

test('ends the program when the task is cancelled', async () => {
  const { stream } = await startExec('echo started >&2; sleep 60 & wait');
  assign(stream, {});
  await stream.next('progress');
  stream.send({ case: 'cancels', value: { items: [{ lease, reason: 'no need' }] } });
  const { leases } = (await stream.next('cancelAcknowledged')).value;
  expect(leases[0]).toMatchObject(lease);
});

test('finishes what it has begun after the first signal, and says so', async () => {
  const { running, stream } = await startExec('echo started >&2; until [ -e go ]; do sleep 0.02; done; echo 1');
  assign(stream, {});
  await stream.next('progress');
  running.child.kill('SIGTERM');
  await stream.next('draining');
  await writeFile(join(home, 'go'), '');
  await stream.next('succeeded');
  stream.send({ case: 'settled', value: { items: [{ lease, outcome: SettlementOutcome.RECORDED }] } });
  expect(await running.ended).toMatchObject({ code: 0, stderr: expect.stringMatching(/stopped: .*\n$/) });
});

test('finishes what it has begun and ends well when an operator drains it', async () => {
  const { running, stream } = await startExec('echo started >&2; until [ -e go ]; do sleep 0.02; done; echo 1');
  assign(stream, {});
  await stream.next('progress');
  stream.send({ case: 'stop', value: { reason: 'a new version' } });
  await stream.next('draining');
  await running.seen(/an operator drains this worker: a new version/);
  await writeFile(join(home, 'go'), '');
  await stream.next('succeeded');
  stream.send({ case: 'settled', value: { items: [{ lease, outcome: SettlementOutcome.RECORDED }] } });
  expect(await running.ended).toMatchObject({ code: 0, stderr: expect.stringMatching(/stopped: .*\n$/) });
});

test('leaves no program behind after the second signal', async () => {
  const script = `trap '' TERM; mkfifo alive; echo started >&2; exec 9> alive; while :; do sleep 0.05; done`;
  const { running, stream } = await startExec(script);
  assign(stream, {});
  await stream.next('progress');
  const alive = createReadStream(join(home, 'alive'));
  await once(alive, 'open');
  running.child.kill('SIGTERM');
  await stream.next('draining');
  running.child.kill('SIGTERM');
  expect(await running.ended).toMatchObject({ code: 130 });
  // Ends when nothing holds the other end open any more.
  await once(alive.resume(), 'end');
});

test('refuses a content type that no coordinator would take before it starts', async () => {
  const args = ['worker', 'exec', '--type', 'count', '--content-type', 'text', '--', 'true'];
  const running = startDstc(args, { env: { XDG_CONFIG_HOME: home, DSTC_TOKEN: 'token' }, cwd: home });
  workers.push(running);
  expect(await running.ended).toMatchObject({ code: 2, stderr: expect.stringContaining('"text" is no media type') });
});
