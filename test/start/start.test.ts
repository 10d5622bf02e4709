import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { access, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { openNatsReader } from '../events/nats-rig.ts';
import { testNatsProgram } from '../setup/nats.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { freePorts, processesOf, type Started, startDev } from './started.ts';

let folder: string;
let ports: Record<string, string>;
let started: Started[];

beforeEach(async () => {
  folder = await temporaryDirectory();
  ports = await freePorts();
  started = [];
});

afterEach(async () => {
  for (const { child } of started) child.kill('SIGKILL');
  await processesAreGone();
  await rm(folder, { recursive: true, force: true });
});

function start(...args: string[]): Started {
  // The mark by which the processes of this test are found.
  const running = startDev(['--folder', folder, ...args], {
    ...{ ...ports, TEST_FOLDER: folder },
    ...(program !== undefined && { NATS_SERVER_BIN: program.file }),
  });
  started.push(running);
  return running;
}

/** A process that was told to end has no other way to tell that it has. */
async function processesAreGone(): Promise<void> {
  const giveUp = AbortSignal.timeout(12_000);
  while (process.platform === 'linux' && !giveUp.aborted && (await processesOf(folder)).length > 0) await pause(50);
  if (process.platform === 'linux') expect(await processesOf(folder)).toEqual([]);
}

const program = await testNatsProgram();

test.skipIf(program === undefined)(
  'publishes what happens to the nats-server that it finds',
  async () => {
    const running = start();
    const text = await running.seen(/dstc token|Ctrl-C/);
    expect(text).toContain(`NATS               127.0.0.1:${ports.DSTC_NATS_PORT}`);
    expect(text).toContain(`nats-server ${program?.version}, ${program?.file}`);
    const settings: Record<string, string> = parseYaml(await readFile(join(folder, '.dstc/coordinator.yaml'), 'utf8'));
    const reader = await openNatsReader({ port: Number(ports.DSTC_NATS_PORT) }, settings.nats_token);
    await expect
      .poll(async () => (await reader.manager.streams.info('dstc')).state.messages, { timeout: 20_000 })
      // Of each example task at least submitted, leased, started, and its end.
      .toBeGreaterThanOrEqual(80 * 4);
    await reader.close();
    await expect(openNatsReader({ port: Number(ports.DSTC_NATS_PORT) })).rejects.toThrow();
    running.child.kill('SIGTERM');
    await running.ended;
  },
  120_000,
);

test('does the example tasks once, and again with the same data, and leaves no process', async () => {
  const first = await start('--once').ended;
  expect(first.text).toContain(`coordinator        ${ports.DSTC_GRPC_ADDRESS}`);
  expect(first.text).toMatch(/submitted 70 checknumber .*\n.*submitted 10 extract-metadata/);
  expect(first.text).toMatch(/succeeded phone-check \S+ +\(202\) 555-0143 \(US\) → \+12025550143/);
  expect(first.text).toMatch(/failed {4}photo-metadata +truncated\.jpg → EXIF_UNREADABLE/);
  expect(first.text).toMatch(/checknumber +70 +68 +2 +0/);
  expect(first.text).toMatch(/extract-metadata +10 +7 +3 +0/);
  // No colours and no cursor movements for those who are not terminals.
  expect(first.text).not.toContain('\u001b');
  expect(first.status).toBe(0);
  expect(await processesOf(folder)).toEqual([]);

  const second = await start('--once').ended;
  expect(second.text).toMatch(/checknumber +70 +68 +2 +0/);
  expect(second.status).toBe(0);
  expect(await readFile(join(folder, '.dstc/log/coordinator.log'), 'utf8')).toMatch(/"msg":"stopped"\}\n$/);
}, 120_000);

test('stays up until Ctrl-C, and every line works that it prints to try next', async () => {
  const running = start();
  const text = await running.seen(/Ctrl-C stops everything/);
  expect((await stat(join(folder, '.dstc/dev.json'))).mode & 0o777).toBe(0o600);

  const stdout = await runInShell(text.split('\n').flatMap((line) => /^ {4}(\S.*)$/.exec(line)?.[1] ?? []));
  expect(stdout).toMatch(/"TASK_STATE_SUCCEEDED".*"e164":"\+442079460958"/);
  expect(stdout).toMatch(/state +SUCCEEDED[\s\S]*"valid":true/);
  expect(stdout).toMatch(/checknumber +FAILED .*COUNTRY_UNKNOWN/);
  expect(stdout).toMatch(/output +6\n/);
  expect(stdout).toContain('the second coordinator is ready');

  const second = await startDev(['--folder', folder], await freePorts()).ended;
  expect(second.text).toContain(`DSTC has been started already with ${join(folder, '.dstc')}`);
  expect(second.status).toBe(1);

  // npm hands on what the terminal has sent already.
  running.child.kill('SIGINT');
  running.child.kill('SIGINT');
  const ended = await running.ended;
  expect(ended.text).toMatch(/stopping[\s\S]*stopped\n$/);
  expect(ended.status).toBe(0);
  expect(await processesOf(folder)).toEqual([]);
  await expect(access(join(folder, '.dstc/dev.json'))).rejects.toThrow('ENOENT');
}, 120_000);

/**
 * Runs lines as a person would who pastes them, in a home without logins: what stays (a worker, a coordinator) in the
 * background until the others have run and the coordinator is ready. Resolves with stdout.
 */
async function runInShell(lines: readonly string[]): Promise<string> {
  const stays = (line: string) => / worker exec | serve$/.test(line);
  const ready = `http://${/DSTC_HTTP_ADDRESS=(\S+)/.exec(lines.join('\n'))?.[1]}/readyz`;
  const script = [
    ...lines.map((line) => (stays(line) ? `${line} & STAYING="$! $STAYING"` : line)),
    `curl -fsS --retry 60 --retry-delay 1 --retry-all-errors ${ready} && echo the second coordinator is ready`,
    'kill $STAYING; wait $STAYING',
  ].join('\n');
  const env = { PATH: process.env.PATH, HOME: folder };
  return (await promisify(execFile)('bash', ['-ec', script], { cwd: '/', env })).stdout;
}

test('recovers from a start that was killed in the middle', async () => {
  const killed = start('--once');
  await killed.seen(/submitted 10 extract-metadata/);
  killed.child.kill('SIGKILL');
  const { status, text } = await start('--once').ended;
  expect(text).toMatch(/checknumber +70 +68 +2 +0/);
  expect(status).toBe(0);
  await processesAreGone();
}, 120_000);

test('names the ports that others have, who has them, and the variables', async () => {
  const port = Number(ports.DSTC_ISSUER_PORT);
  const other = createServer().listen(port, '127.0.0.1');
  await once(other, 'listening');
  const { status, text } = await start('--once').ended;
  other.close();
  expect(status).toBe(1);
  expect(text).toMatch(new RegExp(`port ${port} on 127.0.0.1 is taken.*identity provider.*DSTC_ISSUER_PORT`));
  if (process.platform === 'linux') expect(text).toContain(`by process ${process.pid}`);
});

test('ends with the last of its log when the coordinator dies', async () => {
  const running = start();
  await running.seen(/Ctrl-C stops everything/);
  const [coordinator] = (await processesOf(folder)).filter((text) => text.includes('server/main.ts serve'));
  process.kill(Number(coordinator?.split(' ')[0]), 'SIGKILL');
  const { status, text } = await running.ended;
  expect(text).toMatch(/the coordinator was ended by SIGKILL\n {2}\| [\s\S]*"ready"/);
  expect(status).toBe(1);
}, 120_000);

test('refuses settings and options that cannot work, all at once', async () => {
  const refused = await startDev(['--folder', folder], { ...ports, DSTC_HTTP_ADDRESS: 'here', DSTC_ISSUER: 'x' }).ended;
  expect(refused.text).toMatch(/DSTC_HTTP_ADDRESS: "here" is not an address[\s\S]*DSTC_ISSUER: set DSTC_CLIENT_ID/);
  expect(refused.status).toBe(2);
  // The coordinator would tell of these when everything else is up.
  const early = await startDev(['--folder', folder], { ...ports, DSTC_LOGLEVEL: 'info', DSTC_LEASE_MS: '5' }).ended;
  expect(early).toEqual({
    status: 2,
    text: 'DSTC_LEASE_MS: "5" is not a whole number from 1000 to 3600000\nDSTC_LOGLEVEL: is not a setting\n',
  });
  expect((await startDev(['--onse'], {}).ended).text).toMatch(/Unknown option '--onse'[\s\S]*usage: npm start/);
});
