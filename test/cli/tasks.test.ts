import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import type { DeadLetterGroup, Task, TaskEvent } from '@dstc/sdk';
import { PermanentError, Worker } from '@dstc/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { dstc, startDstc } from './dstc.ts';

let coordinator: TestCoordinator;
let home: string;
const run = (args: readonly string[], stdin?: string) =>
  dstc(args, { cwd: home, env: { XDG_CONFIG_HOME: join(home, 'config') }, ...(stdin !== undefined && { stdin }) });

/** What a command that succeeds prints as JSON. */
async function json<T>(...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await run([...args, '-o', 'json']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
}

beforeAll(async () => {
  coordinator = await startTestCoordinator();
  home = await temporaryDirectory();
  const { grpcAddress, httpUrl, identity } = coordinator;
  await mkdir(join(home, '.dstc'));
  const profile = { grpcAddress, httpAddress: httpUrl, issuer: identity.issuer, clients: identity.clients };
  await writeFile(join(home, '.dstc', 'dev.json'), JSON.stringify(profile));
  await writeFile(
    join(home, 'count.yaml'),
    `
name: count
description: Counts words.
inputSchema: { type: string }
retry: { attemptsMax: 3, initialDelay: 10ms, delayMax: 20ms }
---
name: idle
`,
  );
  expect((await run(['type', 'apply', '-f', 'count.yaml'])).code).toBe(0);
});
afterAll(async () => {
  await coordinator.stop();
  await rm(home, { recursive: true, force: true });
});

/** A worker that does `count` until the returned function is called. */
async function startWorker(): Promise<() => Promise<void>> {
  const worker = new Worker({ address: coordinator.grpcAddress, credentials: coordinator.credentials('worker') });
  worker.handle('count', (text: string) => ({ words: text.split(' ').length }));
  await worker.start();
  return () => worker.stop();
}

test('applies task types and reads back what it has printed', async () => {
  const types = await json<{ name: string }[]>('type', 'list');
  expect(types.map(({ name }) => name)).toEqual(['count', 'idle']);
  const printed = await json<Record<string, unknown>>('type', 'get', 'count');
  expect(printed).toMatchObject({ description: 'Counts words.', retry: { attemptsMax: 3, initialDelayMs: 10 } });
  await writeFile(join(home, 'again.json'), JSON.stringify({ ...printed, description: 'Counts.' }));
  expect(await json('type', 'apply', '-f', 'again.json')).toMatchObject([{ description: 'Counts.' }]);
  const stale = await run(['type', 'apply', '-f', 'again.json']);
  expect(stale).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^dstc: .*\(ETAG_MISMATCH\).*\n$/),
  });
});

test('submits a task, waits for it and prints what came out', async () => {
  const stop = await startWorker();
  const task = await json<Task>('task', 'submit', 'count', '--input', '"to be or"', '--wait', '--label', 'a=1');
  expect(task).toMatchObject({ state: 'SUCCEEDED', output: { words: 3 }, labels: { a: '1' } });
  const { stdout } = await run(['task', 'get', task.id]);
  expect(stdout).toMatch(new RegExp(`^id +${task.id}$`, 'm'));
  expect(stdout).toMatch(/^output +\{"words":3\}$/m);
  const events = await json<TaskEvent[]>('task', 'history', task.id);
  expect(events.map(({ kind }) => kind)).toEqual(['SUBMITTED', 'LEASED', 'STARTED', 'SUCCEEDED']);
  await stop();
});

test('submits one task for each line, knows them by their key, and waits for all', async () => {
  const lines = Array.from({ length: 40 }, (_, index) => JSON.stringify('word '.repeat(index).trim())).join('\n');
  const submit = ['task', 'submit', 'count', '--jsonl', '-', '--idempotency-key', 'forty', '-o', 'jsonl'];
  const first = await run(submit, lines);
  const ids = first.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).id);
  expect(new Set(ids).size).toBe(40);
  const again = await run(submit, lines);
  expect(
    again.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toMatchObject(ids.map((id, index) => ({ line: index + 1, id, alreadyExisted: true })));
  const waiting = startDstc(['task', 'await', ...ids, '-o', 'jsonl'], { cwd: home });
  const stop = await startWorker();
  const { code, stdout } = await waiting.ended;
  expect(code).toBe(0);
  expect(
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).id),
  ).toEqual(ids);
  await stop();
});

test('names the lines that were refused, submits the others, and fails', async () => {
  const { code, stdout, stderr } = await run(['task', 'submit', 'count', '--jsonl', '-'], '"a"\n5\n"b"');
  expect(code).toBe(1);
  expect(stderr).toMatch(/^line 2: .*\(INPUT_INVALID\)\n$/);
  expect(stdout.split('\n').map((line) => line.trim().split(/ +/)[0])).toEqual(['LINE', '1', '3', '']);
});

test('says in one line what was wrong with the input, and which field', async () => {
  const { code, stderr } = await run(['task', 'submit', 'count', '--input', '5']);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^dstc: .*\(INPUT_INVALID\)\n {2}input.*: .*\n$/);
});

test('lists tasks by type, state and label', async () => {
  const { id } = await json<Task>(
    'task',
    'submit',
    'idle',
    '--label',
    'team=a',
    '--label',
    'x=1',
    '--delay',
    '1h',
    '-p',
    '7',
  );
  await json('task', 'submit', 'idle', '--label', 'team=b');
  const list = (...filter: string[]) => json<Task[]>('task', 'list', '--type', 'idle', ...filter);
  expect(await list('--label', 'team=a')).toMatchObject([{ id, priority: 7, state: 'PENDING' }]);
  expect(await list('--state', 'succeeded,failed')).toEqual([]);
  expect(await list()).toHaveLength(2);
  expect(await list('--limit', '1')).toHaveLength(1);
});

test('cancels a task; waiting for it then fails', async () => {
  const { id } = await json<Task>('task', 'submit', 'idle');
  expect(await json('task', 'cancel', id, '--reason', 'no need')).toMatchObject([{ id, state: 'CANCELLED' }]);
  const { code, stdout, stderr } = await run(['task', 'await', id]);
  expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
  expect(stdout).toMatch(/^state +CANCELLED$/m);
  expect((await run(['task', 'history', id])).stdout).toMatch(/CANCELLED .* no need$/m);
});

test('pauses, resumes and skips a task', { timeout: 120_000 }, async () => {
  const { id } = await json<Task>('task', 'submit', 'idle');
  expect(await json('task', 'pause', id, '--reason', 'not yet')).toMatchObject([
    { id, state: 'PENDING', paused: true },
  ]);
  expect(await json('task', 'list', '--paused')).toMatchObject([{ id }]);
  expect(await json('task', 'resume', id)).toMatchObject([{ id, paused: false }]);
  expect(await json('task', 'skip', id)).toMatchObject([{ id, state: 'SKIPPED' }]);
  expect(await run(['task', 'pause', id])).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/is SKIPPED and cannot be paused; possible now: nothing \(STATE_CONFLICT\)/),
  });
});

test('groups dead letters, redrives some of them with another input, and discards the others', {
  timeout: 120_000,
}, async () => {
  const worker = new Worker({ address: coordinator.grpcAddress, credentials: coordinator.credentials('worker') });
  worker.handle('count', (text: string) => {
    if (text.startsWith('bad')) throw new PermanentError('BAD_WORD', `"${text}" is bad`);
    return text.length;
  });
  await worker.start();
  const label = ['--label', 'story=dead'];
  for (const word of ['bad', 'badly', 'worse and bad']) {
    await json('task', 'submit', 'count', '--input', JSON.stringify(word), ...label);
  }
  const waiting = await json<Task[]>('task', 'list', ...label);
  await run(['task', 'await', ...waiting.map(({ id }) => id)]);
  const [group, ...others] = await json<DeadLetterGroup[]>('task', 'dead-letters', ...label);
  expect([group, others]).toMatchObject([{ type: 'count', errorCode: 'BAD_WORD', count: 2 }, []]);
  const dead = ['--fingerprint', group?.errorFingerprint ?? '', ...label];
  const letters = await json<Task[]>('task', 'list', '--dead-letters', ...dead);
  expect(letters).toHaveLength(2);

  const [mended = ''] = letters.map(({ id }) => id);
  await json('task', 'redrive', mended, '--input', '"good"');
  expect(await json('task', 'await', mended)).toMatchObject({ state: 'SUCCEEDED', input: 'good', output: 4 });

  const counted = await run(['task', 'discard', ...dead, '--dry-run']);
  expect(counted.stdout).toMatch(/^matched +1\nwould change +1\nsuch as +[0-9a-f-]{36}\n$/);
  expect(await json('task', 'discard', ...dead, '--reason', 'hopeless')).toMatchObject({ matched: 1, changed: 1 });
  expect(await json('task', 'list', '--dead-letters', ...dead)).toEqual([]);
  await worker.stop();
});

test('shows what a worker says without letting it steer the terminal', { timeout: 120_000 }, async () => {
  const worker = new Worker({ address: coordinator.grpcAddress, credentials: coordinator.credentials('worker') });
  worker.handle('count', () => {
    throw new PermanentError('BAD', 'esc \u001b]0;pwn\u0007 \u001b[31mred \rover\nstate  SUCCEEDED \u202e\u009b31m');
  });
  await worker.start();
  const { id } = await json<Task>('task', 'submit', 'count', '--input', '"x"', '--label', 'story=words');
  await run(['task', 'await', id]);
  await worker.stop();
  const env = { XDG_CONFIG_HOME: join(home, 'config'), FORCE_COLOR: '1' };
  for (const args of [
    ['task', 'get', id],
    ['task', 'list', '--label', 'story=words'],
    ['task', 'history', id],
    ['task', 'dead-letters', '--label', 'story=words'],
    ['events', 'replay', '--task', id, '--since', '1h'],
    ['events', 'replay', '--task', id, '--since', '1h', '-o', 'jsonl'],
  ]) {
    const { stdout } = await dstc(args, { cwd: home, env });
    expect(stdout).toContain('esc \\u001b]0;pwn\\u0007 \\u001b[31mred \\');
    expect(stdout).not.toMatch(/^state +SUCCEEDED/m);
    expect(steering(stdout)).toEqual([]);
  }
  const { stderr } = await run(['task', 'list', '--type', 'a\u009b31m\u202e']);
  expect(steering(stderr)).toEqual([]);
});

/** Characters that the command should not have written; colours of its own it may. */
function steering(text: string): string[] {
  return stripVTControlCharacters(text).match(/(?!\n)[\p{Cc}\p{Bidi_Control}]/gu) ?? [];
}

test('steers all tasks that match, and none by accident', { timeout: 120_000 }, async () => {
  for (const part of ['a', 'b', 'b']) await json('task', 'submit', 'idle', '--label', `part=${part}`, '--delay', '1h');
  expect(await json('task', 'cancel', '--label', 'part in (b, c)')).toMatchObject({ matched: 2, changed: 2 });
  expect(await json('task', 'list', '--label', 'part', '--state', 'pending', '--created-after', '1h')).toHaveLength(1);
  for (const args of [
    [],
    ['--dry-run'],
    ['--all', '--type', 'idle'],
    ['--type', 'idle', '01890000-0000-7000-8000-000000000000'],
  ]) {
    expect(await run(['task', 'cancel', ...args])).toMatchObject({ code: 2, stdout: '' });
  }
});

test('gives up waiting in time, and the task goes on', async () => {
  const { id } = await json<Task>('task', 'submit', 'idle');
  const { code, stderr } = await run(['task', 'await', id, '--timeout', '100ms']);
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: 'dstc: 1 of 1 tasks have not ended within 100 ms; they go on\n',
  });
});

test('is told about tasks and types that it cannot see', async () => {
  const id = '01890000-0000-7000-8000-000000000000';
  expect(await run(['task', 'get', id])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('(TASK_NOT_FOUND)'),
  });
  expect(await run(['task', 'get', 'x'])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('(FIELD_INVALID)'),
  });
  const unknown = await run(['task', 'submit', 'nothing']);
  expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining('(TASK_TYPE_NOT_FOUND); dstc type list') });
});

test('pauses and resumes task types, and shows who did it', async () => {
  const paused = await run(['type', 'pause', 'idle', '--reason', 'bad release']);
  expect(paused.stdout).toMatch(/^idle +paused /m);
  expect((await run(['type', 'get', 'idle'])).stdout).toMatch(/^paused +since \S+ by operator.*: bad release$/m);
  expect((await run(['type', 'resume', 'idle'])).stdout).toMatch(/^idle +active /m);
});

test('pauses and resumes the namespace, and shows who did it', async () => {
  expect((await run(['namespace', 'pause', '--reason', 'a move'])).stdout).toMatch(/^paused +since .* by .*: a move$/m);
  expect((await run(['type', 'list'])).stdout).toMatch(/^idle +namespace-paused /m);
  expect((await run(['namespace', 'resume'])).stdout).toMatch(/^paused +no$/m);
});

test('opens and closes the circuit of a task type', async () => {
  const breaker = '{ failureRatio: 0.5, window: 2m, open: 5s }';
  await writeFile(join(home, 'fragile.yaml'), `name: fragile\ncircuitBreaker: ${breaker}\n`);
  expect(await json('type', 'apply', '-f', 'fragile.yaml')).toMatchObject([
    { circuitBreaker: { failureRatio: 0.5, attemptsMin: 20, windowMs: 120_000, openMs: 5_000, probes: 1 } },
  ]);
  const { stdout } = await run(['type', 'circuit', 'fragile', 'open', '--reason', 'the provider is away']);
  expect(stdout).toMatch(/^circuit +forced-open since \S+ by operator.*: the provider is away$/m);
  expect(stdout).toMatch(/^circuit opens +when 50% of at least 20 attempts fail within 2m, for 5s$/m);
  expect(await json('type', 'circuit', 'fragile', 'auto')).toMatchObject({ status: { circuit: { state: 'CLOSED' } } });
});

test('deletes a task type', async () => {
  await writeFile(join(home, 'short-lived.yaml'), 'name: short-lived\n');
  await run(['type', 'apply', '-f', 'short-lived.yaml']);
  expect(await run(['type', 'delete', 'short-lived'])).toMatchObject({ code: 0, stdout: '' });
  const gone = await run(['type', 'delete', 'short-lived']);
  expect(gone).toMatchObject({ code: 1, stderr: expect.stringContaining('(TASK_TYPE_NOT_FOUND)') });
});

test('does tasks with any program, from submission to output', async () => {
  const worker = startDstc(['worker', 'exec', '--type', 'count', '--', 'sh', '-c', 'wc -w'], { cwd: home });
  await worker.seen(/connected to .*: working on count/);
  const task = await json<Task>('task', 'submit', 'count', '--input', '"one two three"', '--wait');
  expect(task).toMatchObject({ state: 'SUCCEEDED', output: 3 });
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toMatchObject({ code: 0 });
});

test('drains a worker of the list, which ends by itself', async () => {
  const worker = startDstc(['worker', 'exec', '--type', 'idle', '--', 'cat'], { cwd: home });
  await worker.seen(/connected to .*: working on idle/);
  const idle = (workers: { id: string; slotsByType: object }[]) =>
    workers.find(({ slotsByType }) => 'idle' in slotsByType)?.id ?? '';
  const id = idle(await json('worker', 'list'));
  const { code, stdout, stderr } = await run(['worker', 'drain', id, '--reason', 'a new version', '--within', '1m']);
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: expect.stringMatching(/draining/), stderr: '' });
  expect(await worker.ended).toMatchObject({ code: 0, stderr: expect.stringContaining('a new version') });
}, 60_000);
