import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, createClient, type DstcEvent } from '@dstc/sdk';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestCoordinator, type TestCoordinator } from '../setup/coordinator.ts';
import { temporaryDirectory } from '../setup/temporary-directory.ts';
import { dstc, startDstc } from './dstc.ts';

let coordinator: TestCoordinator;
let home: string;
let client: Client;
beforeAll(async () => {
  coordinator = await startTestCoordinator();
  home = await temporaryDirectory();
  const { grpcAddress, httpUrl, identity } = coordinator;
  await mkdir(join(home, '.dstc'));
  const profile = { grpcAddress, httpAddress: httpUrl, issuer: identity.issuer, clients: identity.clients };
  await writeFile(join(home, '.dstc', 'dev.json'), JSON.stringify(profile));
  client = createClient({ address: grpcAddress, credentials: coordinator.credentials('operator') });
  for (const name of ['count', 'idle']) await client.types.apply({ name });
});
afterAll(async () => {
  client.close();
  await coordinator.stop();
  await rm(home, { recursive: true, force: true });
});

const options = () => ({ cwd: home, env: { XDG_CONFIG_HOME: join(home, 'config') } });
const linesOf = (text: string) => text.trimEnd().split('\n');

test('prints what has happened and then what happens, until Ctrl-C, and where to go on', async () => {
  const first = await client.submit('count', undefined, { labels: { team: 'sales' } });
  const flags = ['--task-type', 'count', '--label', 'team=sales', '--since', '10m'];
  const { child, ended } = startDstc(['events', 'tail', ...flags], options());
  const { stdout: output } = child;
  if (output === null) throw new Error('its output is not piped');
  await once(output, 'data');
  const second = once(output, 'data');
  await client.submit('count', undefined, { labels: { team: 'support' } });
  await client.cancel(first.id, { reason: 'changed my mind' });
  await second;
  child.kill('SIGINT');
  const { code, stdout, stderr } = await ended;
  expect(linesOf(stdout)).toEqual([
    expect.stringMatching(new RegExp(`^20\\S+Z  task\\.submitted +count  ${first.id}  \\S+$`)),
    expect.stringMatching(new RegExp(`^20\\S+Z  task\\.cancelled +count  ${first.id}  \\S+  changed my mind$`)),
  ]);
  expect(code).toBe(0);
  const cursor = /^go on with --cursor (\S+)\n$/.exec(stderr)?.[1] ?? '';
  const next = await client.submit('count', undefined, { labels: { team: 'sales' } });
  const later = await dstc(['events', 'replay', '--cursor', cursor, '--label', 'team', '-o', 'jsonl'], options());
  expect(linesOf(later.stdout).map((line) => JSON.parse(line).subject)).toEqual([next.id]);
});

test('prints the past as JSON and ends', async () => {
  const { id } = await client.submit('idle');
  await client.cancel(id);
  const run = (...flags: string[]) => dstc(['events', 'replay', '--task', id, '-o', 'jsonl', ...flags], options());
  const { code, stdout } = await run('--since', '1h');
  const events = linesOf(stdout).map((line): DstcEvent => JSON.parse(line));
  expect(code).toBe(0);
  expect(events.map(({ kind, subject }) => `${kind} ${subject}`)).toEqual([
    `task.submitted ${id}`,
    `task.cancelled ${id}`,
  ]);
  expect(events[1]).toMatchObject({ data: { task: { state: 'CANCELLED' } }, time: expect.stringMatching(/Z$/) });
  expect((await run('--since', '1h', '--type', 'task.cancelled')).stdout).toContain('"kind":"task.cancelled"');
  expect(await run('--since', '1h', '--until', '30m')).toMatchObject({ code: 0, stdout: '' });
});

test('goes on after --until with what was left out', async () => {
  const labels = { story: 'until' };
  for (const _ of ['first', 'second']) await client.cancel((await client.submit('idle', undefined, { labels })).id);
  const events: DstcEvent[] = [];
  const since = new Date(Date.now() - 600_000);
  for await (const event of client.events({ labels, since, follow: false })) events.push(event);
  const until = events.at(2)?.time ?? new Date();
  const at = events.findIndex(({ time = since }) => time >= until);
  const idsOf = (from: number, to?: number) => events.slice(from, to).map(({ id }) => id);
  const run = async (...flags: string[]) => {
    const { stdout, stderr } = await dstc(
      ['events', 'replay', '--label', 'story=until', '-o', 'jsonl', ...flags],
      options(),
    );
    const ids = stdout === '' ? [] : linesOf(stdout).map((line): string => JSON.parse(line).id);
    return { ids, cursor: /^go on with --cursor (\S+)\n$/.exec(stderr)?.[1] };
  };
  const first = await run('--since', since.toISOString(), '--until', until.toISOString());
  expect(first.ids).toEqual(idsOf(0, at));
  const rest = await run('--cursor', first.cursor ?? '');
  expect(rest.ids).toEqual(idsOf(at));
  // Nothing of what it finds is early enough.
  const none = ['--until', since.toISOString()];
  expect(await run('--cursor', first.cursor ?? '', ...none)).toEqual({ ids: [], cursor: first.cursor });
  expect(await run('--since', since.toISOString(), ...none)).toEqual({ ids: [], cursor: undefined });
});

test.each([
  [['replay'], 2, /--since 2h/],
  [['tail', '--since', '1h', '--cursor', 'x'], 2, /exclude each other/],
  [['tail', '--cursor', 'x'], 1, /^dstc: .*PAGE_TOKEN_INVALID/],
  [['replay', '--cursor', ''], 2, /cursor.*is empty: give a cursor/],
  [['tail', '--type', 'task.faild'], 1, /filter\.types\[0\]/],
  [['tail', '--task', '5'], 1, /filter\.task_ids\[0\]/],
] as const)('says what is wrong with %j', async (args, code, text) => {
  const result = await dstc(['events', ...args], options());
  expect(result).toMatchObject({ code, stdout: '', stderr: expect.stringMatching(text) });
});

test('says why nothing is published once more where no node has NATS', async () => {
  const { code, stderr } = await dstc(['events', 'rebuild', '--since', '2h'], options());
  expect(stderr).toContain('none was started with NATS_URL');
  expect(code).toBe(1);
});
