import { join } from 'node:path';
import type { DevProfile } from '@dstc/sdk';
import { coordinatorFile } from './dev-profile.ts';
import type { Screen } from './screen.ts';
import { repository, type StartSettings } from './settings.ts';

/** What to type next, each of which works as it stands in another terminal with bash, curl and the Node that ran npm. */
export function printNextSteps(
  screen: Screen,
  { folder, dataDir }: StartSettings,
  { grpcAddress, httpAddress }: DevProfile,
): void {
  const isClone = join(folder, '.') === join(repository, '.');
  const dstc = isClone ? 'npx dstc' : `node ${quoted(join(repository, 'sdk/cli/bin/dstc.mjs'))}`;
  const { style } = screen;
  const step = (about: string, ...commands: readonly string[]) => {
    screen.line();
    screen.line(`  ${about}`);
    for (const command of commands) screen.line(`    ${style('cyan', command)}`);
  };

  screen.line();
  screen.line(style('bold', 'Everything is up. Try this in another terminal:'));
  step('first', `cd ${quoted(folder)}`);
  step('a task over HTTP, and its result', ...curlLines(dstc, httpAddress));
  step(
    'the same with the command line, and what became of everything',
    `${dstc} task submit checknumber --input '{"number":"020 7946 0958","country":"GB"}' --wait`,
    `${dstc} task list --type checknumber --state failed`,
  );
  step(
    'a worker of your own: any program that reads stdin and writes stdout',
    `echo '{"name":"word-count"}' | ${dstc} type apply -f -`,
    `${dstc} worker exec --type word-count -- wc -w`,
  );
  step(
    'and in a third terminal',
    `cd ${quoted(folder)}`,
    `${dstc} task submit word-count --input '"to be or not to be"' --wait`,
  );
  step(
    'and another coordinator on the same database; a worker or a caller can use either',
    `DSTC_CONFIG_FILE=${quoted(join(dataDir, coordinatorFile))} ${nextAddresses(grpcAddress, httpAddress)} ${dstc} serve`,
  );
  screen.line();
  screen.line('Ctrl-C stops everything; the next start has all of it again.');
}

function curlLines(dstc: string, httpAddress: string): readonly string[] {
  const call = (method: string, body: string) =>
    `curl -sS http://${httpAddress}/dstc.v1.TaskService/${method} -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' -d ${body}`;
  return [
    `TOKEN=$(${dstc} token --client producer)`,
    `ID=$(${call('SubmitTask', `'{"type":"checknumber","input":{"json":{"number":"+44 20 7946 0958"}}}'`)} | grep -o '"id":"[^"]*"' | cut -d'"' -f4)`,
    `${call('AwaitTask', `'{"id":"'$ID'","timeout":"10s"}'`)}; echo`,
  ];
}

/** The ports beside those of the start. */
function nextAddresses(grpcAddress: string, httpAddress: string): string {
  const next = (address: string) => address.replace(/\d+$/, (port) => String(Number(port) + 1));
  return `DSTC_GRPC_ADDRESS=${next(grpcAddress)} DSTC_HTTP_ADDRESS=${next(httpAddress)}`;
}

/** For a shell: untouched when there is nothing in it that a shell would see. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
