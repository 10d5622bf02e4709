import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DevProfile } from '@dstc/sdk';
import { type Child, startChild } from './child.ts';
import type { Example } from './examples.ts';
import type { Parts } from './parts.ts';
import type { Screen } from './screen.ts';
import { seconds } from './screen.ts';
import { partLine } from './start-platform.ts';
import type { WorkerSessions } from './worker-sessions.ts';

export interface WorkerDeps {
  readonly screen: Screen;
  readonly parts: Parts;
  readonly sessions: WorkerSessions;
  readonly onLost: (why: string) => void;
}

/** Tasks wait for workers that take longer. */
const connectMsMax = 6_000;
const stopMsMax = 4_000;
const leaveWithStarter = fileURLToPath(new URL('leave-with-starter.ts', import.meta.url));

/** Starts the example workers and resolves when the coordinator has seen all of them, or has waited long enough. */
export async function startWorkers(
  { screen, parts, sessions, onLost }: WorkerDeps,
  { examples, profile, dataDir }: { examples: readonly Example[]; profile: DevProfile; dataDir: string },
): Promise<void> {
  const began = performance.now();
  const env = workerEnvironment(profile);
  const children = examples
    .flatMap(({ workers }) => workers)
    .map(({ name, args }) =>
      startChild({ name, args, env, imports: [leaveWithStarter], logFile: logFileOf(dataDir, name) }),
    );
  parts.add(async () => void (await Promise.all(children.map((child) => child.stop(stopMsMax)))));
  const running = new Set<Child>(children);
  for (const child of children) {
    void child.ended.then((why) => {
      running.delete(child);
      if (why !== undefined) onLost(why);
    });
  }
  const pids = () => [...running].flatMap(({ pid }) => pid ?? []);
  const connected = await sessions.connected(pids, connectMsMax);
  const isThere = ({ pid }: Child) => pid !== undefined && connected.has(pid);
  const there = [...running].filter(isThere);
  const about = `${there.map(({ name }) => name).join(', ')}; up in ${seconds(performance.now() - began)}`;
  screen.line(partLine('workers', `${there.length} connected`, about));
  // A provider that has met too many tasks of an earlier start that it cannot do rests by now.
  for (const { name } of [...running].filter((child) => !isThere(child))) {
    screen.line(partLine('', 'not connected yet', `${name}; its log is ${logFileOf(dataDir, name)}`));
  }
}

/** Nothing that is not for workers: no database, no other client's secret. */
function workerEnvironment({ grpcAddress, issuer, clients }: DevProfile): NodeJS.ProcessEnv {
  const { DATABASE_URL: _url, DSTC_TOKEN: _token, ...env } = process.env;
  const { clientId, clientSecret } = clients.worker;
  return {
    ...env,
    DSTC_ADDRESS: grpcAddress,
    DSTC_ISSUER: issuer,
    DSTC_CLIENT_ID: clientId,
    DSTC_CLIENT_SECRET: clientSecret,
  };
}

function logFileOf(dataDir: string, name: string): string {
  return join(dataDir, 'log', `worker-${name.replaceAll(' ', '-')}.log`);
}
